"""A file that several threads fill, and that may be closed while some of them still write."""

from __future__ import annotations

import os
import threading
import weakref

from ..errors import LoaderError


class FilledFile:
    """Owns the descriptor of a file.

    A descriptor that is closed may soon name another file, so it stays open until the last write under way has ended.
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
        with self._lock:
            if self.fd < 0:
                raise LoaderError("the loader was closed while its data were on their way")
            fd = self.fd
            self._writers += 1
        try:
            while data.nbytes:
                written = os.pwrite(fd, data, start)
                start, data = start + written, data[written:]
        finally:
            with self._lock:
                self._writers -= 1
                if self.fd < 0 and not self._writers:
                    self._closing()

    def close(self) -> None:
        """Closes the file when no thread writes to it any more. Harmless when called again."""
        with self._lock:
            self.fd = -1
            if not self._writers:
                self._closing()
