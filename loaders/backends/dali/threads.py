"""A few threads for calls that release the GIL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Generic, TypeVar

T = TypeVar("T")


class Threads:
    """Spreads loops over `workers` threads."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers)

    def spread(self, work: Callable[[int], T], count: int) -> Spread[T]:
        """Starts `work(0)` to `work(count - 1)`, neighbours on one thread."""
        edges = [part * count // self._workers for part in range(self._workers + 1)]
        return Spread([self._pool.submit(_loop, work, range(*ends)) for ends in pairwise(edges)])

    def close(self) -> None:
        """Ends the threads after their present tasks."""
        self._pool.shutdown(cancel_futures=True)


class Spread(Generic[T]):
    """A loop in progress."""

    def __init__(self, parts: list[Future[list[T]]]) -> None:
        self._parts = parts

    def wait(self) -> list[T]:
        """The results in order. Raises the error of `work`, if any."""
        return [result for part in self._parts for result in part.result()]

    def close(self) -> None:
        """Cancels tasks that have not begun."""
        for part in self._parts:
            part.cancel()


def _loop(work: Callable[[int], T], indices: range) -> list[T]:
    return [work(i) for i in indices]
