"""The members of a zip file: their list, and each one's bytes as a part of the file."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import BadDataset
from ..storage import files
from .source import FileRange

_LOCAL = struct.Struct("<4s22xHH")  # a member's own header: mark, and at its end the lengths of name and extra field
_END = struct.Struct("<4xH4xH10x")  # the record at the end: number of this part, and of all members
_MARK, _END_MARK = b"PK\3\4", b"PK\5\6"
_IN_ZIP64 = 0xFFFF  # as a number: it is in the record of Zip64
_COMMENT = 0xFFFF  # bytes behind that record at most
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 99: "AES"}
_ENCRYPTED, _UTF8 = 1, 0x800  # bits of a member's flags
_UNICODE_PATH = 0x7075  # an extra field: version, CRC-32 of the name, the name in UTF-8
_LONGER = 64  # bytes that the extra field in a member's own header has more than the one in the list, usually at most
_RATIO = 1032  # bytes that Deflate makes of one at most
_LINK = 4096  # bytes of a link's target at most
_UNPACK = "unpack it, and convert the folder"

LARGEST = 1 << 30
"""Bytes of an image at most, as for the kernel: a small archive could unpack to any number."""


class Member(NamedTuple):
    """A file or folder in an archive.

    Attributes:
        name: as it is listed; a folder's has a `/` at its end.
        size: bytes of its content.
        offset: of its own header in a zip file; of its content in a tar.
        header: bytes of the header, about; 0: `offset` is that of the content.
        packed: bytes of its content in the archive.
        method: of compression in a zip file: stored or deflated.
        crc: CRC-32 of the content.
        problem: why it cannot be read, or "".
        link: what it is a link to; None: it is none.
    """

    name: str
    size: int = 0
    offset: int = 0
    header: int = 0
    packed: int = 0
    method: int = 0
    crc: int = 0
    problem: str = ""
    link: str | None = None


class ZipImage(NamedTuple):
    """A member of a zip file, which is read when it is needed: a `Placed` image.

    Attributes:
        path: the zip file, or its URL.
        size: bytes of the member.
        place: its own header, about, and its content.
        member: the member.
    """

    path: str
    size: int
    place: FileRange
    member: Member

    def read(self) -> bytes:
        """The member. Its CRC is compared.

        Raises:
            OSError: it is damaged, or the zip file cannot be read.
            BadDataset: the zip file was modified since it was listed.
            LoaderError: its store refuses or keeps failing.
        """
        data = self.place.read()
        start, packed = self.start(data), self.member.packed
        if start + packed > len(data):  # a longer header than expected
            data = self.place._replace(size=start + packed).read()
        content = data[start : start + packed]
        if self.member.method == _DEFLATED:
            try:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, self.size + 1)
            except zlib.error as error:
                raise self._damage(str(error)) from None
        if len(content) != self.size:
            raise self._damage(f"has {len(content)} bytes, {self.size} expected")
        if zlib.crc32(content) != self.member.crc:
            raise self._damage("its CRC differs from the one in the zip file's list")
        return content

    def start(self, data: bytes) -> int:
        """Where the content begins. data: the first bytes of `place`. Raises OSError if they are no header."""
        if len(data) < _LOCAL.size or not data.startswith(_MARK):
            raise self._damage("has no header where the zip file's list says")
        _, name, extra = _LOCAL.unpack_from(data)
        return _LOCAL.size + int(name) + int(extra)

    def _damage(self, what: str) -> OSError:
        return OSError(f"{self.path}: its member {self.member.name!r} is damaged: {what}; copy the zip file again")


def zip_members(path: str) -> Iterator[Member]:
    """The members, in the order of the zip file's list.

    Raises:
        FileNotFoundError: no such file.
        BadDataset: damaged or truncated, not a zip file, or one part of several.
        LoaderError: its store refuses or keeps failing.
    """
    whole = FileRange.whole(path)
    try:
        count = _count(path, whole)
        with files.open_file(path) as file, zipfile.ZipFile(file) as listed:
            members = listed.infolist()
            if count is not None and (count - len(members)) % (1 << 16):
                raise zipfile.BadZipFile(f"its list has {len(members)} members, {count} expected")
            for info in members:
                yield _member(path, info, whole)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        why = "its list is at its end, so it may be cut short; copy or download it again"
        raise BadDataset(f"{path}: not a valid zip file ({error}); {why}") from None


def _count(path: str, whole: FileRange) -> int | None:
    """Number of members, or its last 16 bits, by the record at the zip file's end. None: it is in the one of Zip64.

    Python's own reader does not compare it with the list, so members could be missing without a word.

    Raises:
        BadDataset: this is the last part of a zip file that was split.
    """
    start = max(0, whole.size - _COMMENT - _END.size)
    end = whole._replace(offset=start, size=whole.size - start).read()
    at = end.rfind(_END_MARK)
    if not 0 <= at <= len(end) - _END.size:
        return None  # no zip file, as its reader will find
    part, count = _END.unpack_from(end, at)
    if part not in (0, _IN_ZIP64):
        raise BadDataset(
            f"{path}: must be a whole zip file, is part {part + 1} of one; join them (zip -s 0 {path} --out whole.zip)"
        )
    return None if count == _IN_ZIP64 else int(count)


def _member(path: str, info: zipfile.ZipInfo, whole: FileRange) -> Member:
    name, kind = _name(info), stat.S_IFMT(info.external_attr >> 16)
    if name.endswith("/"):
        return Member(name)
    problem = ""
    if info.flag_bits & _ENCRYPTED:
        problem = "is encrypted; unpack it with its password, and convert the folder"
    elif info.compress_type not in (_STORED, _DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        problem = f"is compressed by {method}, only Deflate is read; {_UNPACK}"
    elif info.file_size > LARGEST:
        problem = f"has {info.file_size} bytes, an image {LARGEST} at most"
    elif not 0 <= info.header_offset <= whole.size - info.compress_size or info.file_size > _most(info):
        problem = "is damaged: the zip file's list gives it a place or size that is impossible; copy the zip file again"
    header = _LOCAL.size + len(os.fsencode(name)) + len(info.extra) + _LONGER
    header = min(header, whole.size - info.header_offset - info.compress_size)
    member = Member(
        name, info.file_size, info.header_offset, header, info.compress_size, info.compress_type, info.CRC, problem
    )
    if kind == stat.S_IFLNK and not problem and info.file_size <= _LINK:
        place = whole._replace(offset=info.header_offset, size=header + info.compress_size)
        target = ZipImage(path, info.file_size, place, member).read()
        return member._replace(link=os.fsdecode(target))
    return member


def _most(info: zipfile.ZipInfo) -> int:
    """Most bytes that a member can have."""
    return info.compress_size * (_RATIO if info.compress_type == _DEFLATED else 1)


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name. Without a mark of its encoding it is UTF-8 if it can be, as zip on Linux writes it; or cp437."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        raw, extra = name.encode("cp437"), info.extra
        while len(extra) >= 4:
            kind, size = struct.unpack_from("<HH", extra)
            if kind == _UNICODE_PATH and extra[5:9] == struct.pack("<I", zlib.crc32(raw)):
                raw = extra[9 : 4 + size]
            extra = extra[4 + size :]
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("cp437")
    windows = info.create_system in (0, 10)  # old writers there separate folders as their system does
    return name.replace("\\", "/") if windows else name
