"""Fetches ranges of remote objects: many at a time, neighbours in one request, repeated after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import LoaderError
from .store import Changed, Facts, Missing, Refused, Store, first_line

T = TypeVar("T")

GAP = 88 << 10
"""Largest gap in bytes between two ranges that become one request; the gap is read, too.

Requests cost money and processor time; many are in flight, so their latency hardly counts. For ImageNet's photographs
at 96 pixels in quasi-random order: 64 kB makes 0.27 requests an image and reads 42 % of the full-size bytes; 88 kB
0.24 and 44 %; 256 kB 0.14 and 57 %. The ranges themselves are 38 %.
"""
LARGEST = 8 << 20
"""Bytes of one request, unless one range alone is larger."""
DEADLINE = 120.0
"""Seconds after which a read that keeps failing raises an error."""
_THREADS = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two attempts


def coalesce(ranges: Iterable[tuple[int, int]], gap: int = GAP, largest: int = LARGEST) -> list[tuple[int, int]]:
    """Ranges [start, end) that cover all of `ranges`, in ascending order: those at most `gap` apart become one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] <= gap and max(end, merged[-1][1]) - merged[-1][0] <= largest:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


class Transfer:
    """Threads that read from stores.

    Attributes:
        requests, bytes: of all reads that succeeded.
        retries: attempts that failed and were repeated.
    """

    def __init__(self) -> None:
        """Starts no thread before the first read."""
        self._deadline, self._stop, self._lock = DEADLINE, threading.Event(), threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, "remote")
        self.requests = self.bytes = self.retries = 0

    def submit(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        """Runs `work` in one of the threads."""
        return self._threads.submit(work, *arguments)

    def facts(self, store: Store, path: str, url: str) -> Facts:
        """See `Store.facts` and `tried`."""
        return self.tried(url, lambda: store.facts(path))

    def read(self, store: Store, path: str, url: str, start: int, end: int, version: str | None) -> memoryview:
        """The bytes [start, end); attempts are repeated until the deadline. url: the object's name in messages.

        Raises:
            LoaderError: the store refuses, keeps failing, or keeps returning too few bytes.
        """
        if start == end:
            return memoryview(b"")

        def attempt() -> memoryview:
            data = store.read(path, start, end, version)
            if data.nbytes != end - start:
                raise OSError(f"gave {data.nbytes} bytes of {end - start}")
            return data

        data = self.tried(f"{url} (bytes {start} to {end})", attempt)
        with self._lock:
            self.requests, self.bytes = self.requests + 1, self.bytes + data.nbytes
        return data

    def tried(self, what: str, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, a request that is repeated until the deadline. what: the object's name in messages.

        Raises:
            Missing: the object does not exist.
            Changed: it has another version.
            LoaderError: the store refuses, or keeps failing.
        """
        begun, pause, attempts = time.monotonic(), _FIRST_PAUSE, 0
        while True:
            attempts += 1
            try:
                return attempt()
            except Refused as error:
                kind = type(error) if isinstance(error, Missing | Changed) else LoaderError
                raise kind(f"{what}: {error}") from None
            except (AttributeError, NotImplementedError) as error:  # the store lacks this method
                raise LoaderError(f"{what}: {error}") from error
            except Exception as error:  # stores raise any type of error: throttling, lost connections, timeouts
                left = self._deadline - (time.monotonic() - begun)
                if left <= 0:
                    why = first_line(error)
                    raise LoaderError(f"{what}: failed {attempts} times in {self._deadline:.0f} s: {why}") from None
                if not self._stop.is_set() and self._ending():
                    raise LoaderError(f"{what}: the program is ending") from None
                with self._lock:
                    self.retries += 1
                # Threads that failed together should not retry together: a pause of 0.5 to 1 times the full one.
                share = 0.5 + 0.5 * (threading.get_ident() % 97) / 97
                if self._stop.wait(min(left, pause * share)):
                    raise LoaderError(f"{what}: the loader was closed") from None
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _ending(self) -> bool:
        """Whether Python waits for these threads to end. Their pool then accepts no work, but does what it has."""
        try:
            self._threads.submit(int)
        except RuntimeError:
            return True
        return False

    def close(self) -> None:
        """Ends the threads; pending reads fail after their present attempt."""
        self._stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
