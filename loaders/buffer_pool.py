"""Memory for batches: a buffer is reused, but never while its batch is still referenced.

A batch belongs to the user, who may keep it indefinitely. Fresh memory for each batch would cost page faults every
time, so a buffer returns to the pool when the last array or tensor that views it has been freed.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BufferPool:
    """Hands out arrays of bytes and takes them back by itself.

    Holds at most `spare` free buffers, all of the latest size: a change of stage frees the others.
    """

    def __init__(self, spare: int, allocate: Callable[[int], NDArray[np.uint8]] | None = None) -> None:
        """allocate: makes a buffer of a given number of bytes (for example pinned memory); None: ordinary memory."""
        self._spare = spare
        self._allocate = allocate or _pageable
        self._free: list[NDArray[np.uint8]] = []
        self._size = 0
        # `_put` may run while its own thread is in `take`: a garbage collection can begin anywhere.
        self._lock = threading.RLock()

    def take(self, size: int) -> NDArray[np.uint8]:
        """An array of `size` bytes, contents undefined. Its memory is reused when no view of it is left."""
        with self._lock:
            if size != self._size:
                self._size = size
                self._free.clear()
            buffer = self._free.pop() if self._free else None
        if buffer is None:
            buffer = self._allocate(size)
        # In NumPy, all views of a plain array have that array as their base. With the lease as their base, the lease
        # is freed together with the last view.
        return np.asarray(_Lease(self, buffer))

    def _put(self, buffer: NDArray[np.uint8]) -> None:
        with self._lock:
            if buffer.nbytes == self._size and len(self._free) < self._spare:
                self._free.append(buffer)


class _Lease:
    """Returns a buffer to its pool, if that still exists, when the lease is no longer referenced."""

    def __init__(self, pool: BufferPool, buffer: NDArray[np.uint8]) -> None:
        self._pool, self._buffer = weakref.ref(pool), buffer
        self.__array_interface__: dict[str, Any] = buffer.__array_interface__

    def __del__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool._put(self._buffer)


def _pageable(size: int) -> NDArray[np.uint8]:
    return np.empty(size, np.uint8)
