"""A file that several threads write to, and that may be closed while some of them still write."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from ..errors import LoaderError

_PUNCH_HOLE = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE


class FilledFile:
    """Owns the descriptor of a file.

    A closed descriptor may soon refer to another file, so it stays open until the last pending write has ended.
    Writes do not wait for each other.

    Attributes:
        fd: the descriptor; -1 after `close`.
    """

    def __init__(self, fd: int) -> None:
        """Takes over `fd`."""
        self.fd = fd
        self._lock, self._writers = threading.Lock(), 0
        self._closing = weakref.finalize(self, os.close, fd)
        self._closing.atexit = False

    def write(self, data: memoryview, start: int) -> None:
        """Writes all of `data` at an offset.

        Raises:
            LoaderError: the file is closed.
            OSError: the file cannot be written.
        """
        with self._held() as fd:
            if fd < 0:
                raise LoaderError("the loader was closed while its data were being fetched")
            while data.nbytes:
                written = os.pwrite(fd, data, start)
                start, data = start + written, data[written:]

    def give_back(self, start: int, size: int) -> None:
        """Frees the memory or disk space of a range; its bytes then read as zeros. Does nothing after `close`."""
        with self._held() as fd:
            if fd >= 0 and size:
                _libc().fallocate(fd, _PUNCH_HOLE, start, size)

    @contextmanager
    def _held(self) -> Iterator[int]:
        """A context with the descriptor, which stays open inside it; -1 after `close`."""
        with self._lock:
            fd = self.fd
            self._writers += fd >= 0
        try:
            yield fd
        finally:
            with self._lock:
                self._writers -= fd >= 0
                if self.fd < 0 and not self._writers:
                    self._closing()

    def close(self) -> None:
        """Closes the file when no thread writes to it any more. Can be called more than once."""
        with self._lock:
            self.fd = -1
            if not self._writers:
                self._closing()


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return library
