"""Memory that the kernel reads as a file: bytes are put there for a batch, and go when the batch is done.

It is an anonymous file (memfd). Offsets only grow and are never used again: bytes that were given back read as zeros,
an error and never another image.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from functools import lru_cache

from ..storage.filled_file import FilledFile

_PAGE = 4096
_PUNCH_HOLE = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE


class Lease:
    """A run of bytes of a window, valid as long as this object lives.

    Attributes:
        start: offset in the window's file.
    """

    def __init__(self, start: int) -> None:
        self.start = start


class Window:
    """Hands out runs of an anonymous file."""

    def __init__(self) -> None:
        self._file = FilledFile(os.memfd_create("records", os.MFD_CLOEXEC))
        self._end, self._lock = 0, threading.Lock()

    @property
    def fd(self) -> int:
        """The file's descriptor; -1 after `close`."""
        return self._file.fd

    def take(self, size: int) -> Lease:
        """Room for `size` bytes."""
        with self._lock:
            start, taken = self._end, -(-size // _PAGE) * _PAGE
            self._end += taken
        lease = Lease(start)
        weakref.finalize(lease, _give_back, weakref.ref(self), start, taken).atexit = False
        return lease

    def write(self, data: memoryview, start: int) -> None:
        """Puts bytes at an offset that was taken.

        Raises:
            LoaderError: the window is closed.
        """
        self._file.write(data, start)

    def close(self) -> None:
        """Closes the file. Harmless when called again."""
        self._file.close()


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return library


def _give_back(window: weakref.ref[Window], start: int, size: int) -> None:
    """Returns the memory of a run to the system."""
    alive = window()
    if alive is not None and alive.fd >= 0 and size:
        _libc().fallocate(alive.fd, _PUNCH_HOLE, start, size)
