"""Opens the files of a data set, which are not trusted."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO


def open_regular(path: str) -> IO[bytes]:
    """A file for reading. Not blocking: to open a pipe would wait for its other end, and a device may have no end.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file")
    return file
