"""Moves a file to its place in another without room for a second copy."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

STEP = 256 << 20
"""Bytes that are flushed to the disk together, and cut off at the source then."""
PIECE = 8 << 20
"""Bytes copied at a time."""
_NOT_HERE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
"""Errors of `copy_file_range` on file systems and kernels that cannot do it."""


def move(source: int, target: int, place: int, advance: Callable[[int], object] = lambda _: None) -> None:
    """Moves all bytes of a file to offset `place` of another: the last ones first, so that the source only shrinks.

    The source holds exactly the bytes that are left to move: if the move is interrupted, even by a power failure,
    another call with the same place continues.

    Args:
        source, target: file descriptors, for reading and writing.
        advance: is told of the bytes of each piece.

    Raises:
        OSError: the target's disk is full, for example. The source keeps the bytes that have not been moved.
    """
    left = os.fstat(source).st_size
    while left:
        start = max(0, left - STEP)
        for piece in range(start, left, PIECE):
            size = min(PIECE, left - piece)
            copy(source, piece, target, place + piece, size)
            advance(size)
        os.fsync(target)
        os.ftruncate(source, start)
        left = start


def copy(source: int, start: int, target: int, place: int, size: int) -> None:
    """Copies `size` bytes from offset `start` to offset `place`, inside the kernel if it can.

    Raises:
        OSError: an error of reading or writing; EIO if the source ends before.
    """
    done = 0
    while done < size:
        try:
            count = os.copy_file_range(source, target, size - done, start + done, place + done)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            count = 0
        if count == 0:
            block = os.pread(source, size - done, start + done)
            if not block:
                raise OSError(errno.EIO, "a file of the converter's working folder was cut while it was moved")
            count = os.pwrite(target, block, place + done)
        done += count
