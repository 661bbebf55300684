"""Strict reading of tar files: Python's own reader treats a damaged header in the middle as the end of the file."""

from __future__ import annotations

import tarfile
from tarfile import HeaderError, ReadError
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


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
        tarfile.TarError, OSError, EOFError: damaged, truncated, or not a tar; also raised during the iteration.
    """
    return tarfile.open(path, "r:*" if packed else "r:", file, tarinfo=_Header)
