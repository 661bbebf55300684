"""Chunks of remote objects in memory: those in use stay, of the others a limited number, the last used ones."""

from __future__ import annotations

import threading
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import TypeAlias

from .mirror import CHUNK, Mirror

IDLE = 512 << 20
"""Bytes of chunks that are kept though nobody uses them: in random order, samples of other batches need them again."""

_Key: TypeAlias = tuple[Mirror, int]


class Hold:
    """Chunks stay in memory as long as this object lives, or to the end of its `with` statement."""

    def __init__(self, released: deque[list[_Key]], chunks: list[_Key]) -> None:
        self._release = weakref.finalize(self, released.append, chunks)
        self._release.atexit = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._release()


class HeldChunks:
    """Counts the users of chunks of mirrors without a cache folder, and drops chunks that have none."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), Counter[_Key]()
        self._idle: OrderedDict[_Key, None] = OrderedDict()  # the longest unused one first
        # A finalizer may run anywhere, also where this thread has the lock: it only appends here.
        self._released: deque[list[_Key]] = deque()

    def hold(self, mirror: Mirror, chunks: Iterable[int]) -> Hold:
        """Keeps chunks, which may be missing yet: call this before `Mirror.ensure`."""
        keys = [(mirror, k) for k in chunks]
        with self._lock:
            self._users.update(keys)
            for key in keys:
                self._idle.pop(key, None)
            self._drop()
        return Hold(self._released, keys)

    def _drop(self) -> None:
        while self._released:
            for key in self._released.popleft():
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key]
                    self._idle[key] = None
        for _ in range(len(self._idle) - IDLE // CHUNK):
            (mirror, chunk), _ = self._idle.popitem(last=False)
            if not mirror.drop(chunk):
                self._idle[mirror, chunk] = None
