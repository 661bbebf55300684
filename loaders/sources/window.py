"""Memory that the kernel reads as a file: bytes are written for a batch, and freed when the batch is done.

It is an anonymous file (memfd). Offsets only grow and are never reused: freed bytes read as zeros, which is an error
and never another image.
"""

from __future__ import annotations

import os
import threading
import weakref

from ..storage.filled_file import FilledFile

_PAGE = 4096


class Lease:
    """A range of bytes in a window, valid as long as this object lives.

    Attributes:
        start: offset in the window's file.
    """

    def __init__(self, start: int) -> None:
        self.start = start


class Window:
    """Allocates ranges of an anonymous file."""

    def __init__(self) -> None:
        self._file = FilledFile(os.memfd_create("records", os.MFD_CLOEXEC))
        self._end, self._lock = 0, threading.Lock()

    @property
    def fd(self) -> int:
        """The file's descriptor; -1 after `close`."""
        return self._file.fd

    def take(self, size: int) -> Lease:
        """Allocates `size` bytes."""
        with self._lock:
            start, taken = self._end, -(-size // _PAGE) * _PAGE
            self._end += taken
        lease = Lease(start)
        weakref.finalize(lease, _give_back, weakref.ref(self), start, taken).atexit = False
        return lease

    def write(self, data: memoryview, start: int) -> None:
        """Writes bytes at an allocated offset.

        Raises:
            LoaderError: the window is closed.
        """
        self._file.write(data, start)

    def give_back(self, start: int, size: int) -> None:
        """Returns the memory of a range to the system. Does nothing after `close`."""
        self._file.give_back(start, size)

    def close(self) -> None:
        """Closes the file. Can be called more than once."""
        self._file.close()


def _give_back(window: weakref.ref[Window], start: int, size: int) -> None:
    """Returns the memory of a range to the system."""
    alive = window()
    if alive is not None:
        alive.give_back(start, size)
