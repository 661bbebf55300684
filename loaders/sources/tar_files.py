"""Strict reading of tar files: Python's own reader treats a damaged header in the middle as the end of the file."""

from __future__ import annotations

import tarfile
import zlib
from tarfile import HeaderError, ReadError
from typing import IO, TYPE_CHECKING

from ..errors import BadDataset

if TYPE_CHECKING:
    from typing_extensions import Self

DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error)
"""Errors of a damaged or truncated tar, or of one that cannot be read."""
_PADDING = 1 << 20  # bytes read at most at the end of a tar: its zeros, which fill a record, usually of 10240 bytes


class _Header(tarfile.TarInfo):
    """A member's header; a damaged header is an error at any position."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ in ("EOFHeaderError", "EmptyHeaderError"):  # the end: zeros, or the end of the file
                raise
            raise ReadError(f"damaged header at byte {tarfile.offset}: {error}") from None


def open_tar(path: str, *, packed: bool = False, file: IO[bytes] | None = None) -> tarfile.TarFile:
    """Opens a tar file for iteration.

    Args:
        packed: whether it may be compressed.
        file: the open file, positioned at the start of the tar; None: `path` is opened.

    Raises:
        DAMAGE: damaged, truncated, or not a tar; also raised during the iteration.
    """
    return tarfile.open(path, "r:*" if packed else "r:", file, tarinfo=_Header)


def check_end(path: str, tar: tarfile.TarFile, limit: int | None = None) -> None:
    """Checks that a tar that was read to its end has zeros there, as every program writes them, and nothing behind.

    The end of a compressed tar also holds the check of its content.

    Args:
        limit: where the tar ends in its file; None: where the file ends.

    Raises:
        BadDataset: samples are missing, or would not be read.
        DAMAGE: the compressed data do not have their CRC.
    """
    file = tar.fileobj
    assert file is not None
    behind_mark = file.tell() == tar.offset + tarfile.BLOCKSIZE  # going back would decompress all again
    if not behind_mark:
        file.seek(tar.offset)
    rest = file.read(_PADDING if limit is None else max(0, min(_PADDING, limit - file.tell())))
    if not (rest or behind_mark) or (limit is not None and tar.offset >= limit):
        raise BadDataset(
            f"{path}: cut short after a whole member, or not closed by its writer, as no end mark follows; copy it or "
            "write it again"
        )
    if rest.strip(b"\0"):
        raise BadDataset(f"{path}: must be one tar file, has data behind its end mark; give joined files one by one")
