"""Strict reading of tar files: Python's own reader treats a damaged header in the middle as the end of the file."""

from __future__ import annotations

import glob
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from tarfile import HeaderError, ReadError
from typing import IO, TYPE_CHECKING, TypeVar

from ..errors import BadDataset
from ..storage import files
from ..storage.store import is_url

if TYPE_CHECKING:
    from typing_extensions import Self

try:
    from lzma import LZMAError
except ImportError:  # of a Python that was built without it, and reads no .xz file
    from tarfile import CompressionError as LZMAError  # type: ignore[assignment]

T = TypeVar("T")

DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error, LZMAError)
"""Errors of a damaged or truncated tar, or of one that cannot be read."""
GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"
"""First bytes of compressed files."""
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


def each_member(path: str, packed: bool, use: Callable[[tarfile.TarFile, tarfile.TarInfo], T | None]) -> Iterator[T]:
    """The results of `use(tar, member)` for the members of a tar in order, except None; then its end is checked.

    Args:
        packed: see `open_tar`.
        use: may read this member, not another one.

    Raises:
        FileNotFoundError: no such file.
        BadDataset: damaged or truncated, or not a tar.
        LoaderError: its store refuses or keeps failing.
    """
    try:
        with files.open_file(path) as file, open_tar(path, packed=packed, file=file) as tar:
            for info in tar:
                found = use(tar, info)
                if found is not None:
                    yield found
                tar.members = []  # type: ignore[attr-defined]  # or it keeps every header in memory
            if not packed and tar.offset > file.seek(0, os.SEEK_END):
                raise BadDataset(f"{path}: cut short; copy it again")
            if packed or not is_url(path):  # its end would be another request
                check_end(path, tar)
    except DAMAGE as error:
        if isinstance(error, FileNotFoundError):
            raise
        remedy = "rename it to .tar.gz, as it is compressed" if not packed and begins(path, GZIP) else "copy it again"
        raise BadDataset(f"{path}: not a valid tar file ({error}); {remedy}") from None


def begins(path: str, *marks: bytes) -> bool:
    """Whether a file begins with one of these bytes. False if it cannot be read."""
    with suppress(OSError), files.open_file(path) as file:
        return file.read(max(map(len, marks))).startswith(marks)
    return False


def one_file(path: str) -> bool:
    """Whether a path names one file that is there, or one object, and no pattern of several."""
    return "{" not in path and not glob.has_magic(path) if is_url(path) else os.path.isfile(path)


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
        raise BadDataset(
            f"{path}: must be one tar file, has data after its end mark; pass concatenated files one by one"
        )
