"""Tar files, read strictly: Python's own reader takes a damaged header in the middle for the end of the file."""

from __future__ import annotations

import tarfile
from tarfile import HeaderError, ReadError
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class _Header(tarfile.TarInfo):
    """A member's header; a damaged one is an error wherever it stands."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ in ("EOFHeaderError", "EmptyHeaderError"):  # the end, by zeros or by the file's end
                raise
            raise ReadError(f"damaged header at byte {tarfile.offset}: {error}") from None


def open_tar(path: str, *, packed: bool = False, file: IO[bytes] | None = None) -> tarfile.TarFile:
    """A tar file to iterate.

    Args:
        packed: it may be compressed.
        file: the open file, positioned at the start of the tar; None: `path` is opened.

    Raises:
        tarfile.TarError, OSError, EOFError: here or while it is iterated: damaged, cut short, or no tar.
    """
    return tarfile.open(path, "r:*" if packed else "r:", file, tarinfo=_Header)
