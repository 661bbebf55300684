"""Reads and checks a pyramid's tables: CRC-32 of each whole section, and of each of its blocks.

A reader of a large set checks each block when it first uses it, so the time to open a file does not grow with the
number of samples. The blocks' CRCs are in the meta data, under `META`. Older files have none: their sections are
checked completely when they are opened.

Note [kept sections]: each batch reads its own rows, one read for each sample. The system's page cache makes this
cheap, and processes share it. On storage that the system does not cache, such as some network file systems, a batch
would take as long as hundreds of slow reads, one after the other. So the time of slow reads is added up, and once it
reaches that of reading their whole section, the section is read and kept in memory. A fast read takes some of it back:
also from the page cache, a few reads are slow, when other threads have the processors.
"""

from __future__ import annotations

import base64
import binascii
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadDataset
from .tables import OpenFile, gather, gather_rows

META = "blocks"
"""Key of the meta data: {"size": bytes of a block, section: its blocks' CRCs, little-endian u32 in base64}."""
BLOCK = 32 << 10
"""Bytes of a block. At first, random samples need one block each, so reading a block takes about as long as starting a
read."""
WHOLE = 4 << 20
"""Bytes read at a time. A section of at most this size is checked when the file is opened."""

SLOW = 150e-6
"""Seconds: a read that takes longer waited for storage."""
_RATE = 100e6
"""Bytes per second that slow storage is expected to deliver if read in large pieces."""
KEPT = 256 << 20
"""Most bytes of a section that is kept in memory."""

_CRC = np.dtype("<u4")


class BlockSums:
    """The CRCs of a section that is being written.

    Attributes:
        crc: CRC-32 of all bytes so far.
        size: their number.
    """

    def __init__(self) -> None:
        self.crc = self.size = self._open = 0
        self._blocks: list[int] = []

    def update(self, data: bytes) -> None:
        """Adds the next bytes of the section."""
        self.crc = zlib.crc32(data, self.crc)
        view, start = memoryview(data), 0
        while start < len(view):
            part = view[start : start + BLOCK - self.size % BLOCK]
            self._open = zlib.crc32(part, self._open)
            self.size += len(part)
            start += len(part)
            if self.size % BLOCK == 0:
                self._blocks.append(self._open)
                self._open = 0

    def packed(self) -> str:
        """The value of the section's name in the meta data. Its length depends on `size` alone."""
        blocks = self._blocks + [self._open] * (self.size % BLOCK > 0)
        return base64.b64encode(np.array(blocks, _CRC).tobytes()).decode("ascii")

    @staticmethod
    def blank(size: int) -> str:
        """As `packed` for a section of that many bytes, with all CRCs 0."""
        return base64.b64encode(bytes(_CRC.itemsize * -(-size // BLOCK))).decode("ascii")


def described(packed: Mapping[str, str]) -> dict[str, Any]:
    """META's value. packed: `BlockSums.packed` of each section."""
    return {"size": BLOCK, **packed}


class Sections:
    """Reads the sections of an open file, and checks them against their CRCs. See Note [kept sections]."""

    def __init__(self, file: OpenFile, private: np.ndarray, names: tuple[str, ...], blocks: Any) -> None:
        """Checks short sections, and sections without CRCs of their blocks.

        Args:
            file: the file.
            private: a PRIVATE; its sections lie inside the file.
            names: the sections to check.
            blocks: META's value, or None.

        Raises:
            BadDataset: damaged.
        """
        self._file, self._private, self._names = file, private, names
        self._sums: dict[str, NDArray[np.uint32]] = {}
        self._sound: dict[str, NDArray[np.bool_]] = {}
        self._block = BLOCK
        self._waited = dict.fromkeys(names, 0.0)  # seconds in slow reads, less `SLOW` for each fast one
        self._kept: dict[str, bytes] = {}
        if blocks is not None:
            self._parse(blocks)
        for name in names:
            if name not in self._sums:
                self._check_section(name)

    def _parse(self, blocks: Any) -> None:
        """Reads META's value, for sections longer than `WHOLE`."""
        size = blocks.get("size") if isinstance(blocks, Mapping) else None
        if not isinstance(size, int) or size < 1:
            raise self._damaged(f"its meta data give blocks of {size!r} bytes")
        self._block = size
        for name in self._names:
            if int(self._private[name]["size"]) <= WHOLE:
                continue
            try:
                sums = np.frombuffer(base64.b64decode(blocks[name], validate=True), _CRC)
            except (KeyError, TypeError, ValueError, binascii.Error):
                sums = np.zeros(0, _CRC)
            if len(sums) != -(-int(self._private[name]["size"]) // size):
                raise self._damaged(f"the checks of its {name} have another length than the {name}")
            self._sums[name], self._sound[name] = sums, np.zeros(len(sums), np.bool_)

    def rows(self, name: str, row: np.dtype[Any], numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Rows [n] of a section that holds nothing else, given by their numbers. They are inside the section.

        Raises:
            BadDataset: they are damaged, or cannot be read.
        """
        if name not in self._kept:
            start = int(self._private[name]["offset"])
            self._check(name, start + numbers * row.itemsize, row.itemsize)
            return gather_rows(lambda size, offset: self._read(name, size, offset), row, start, numbers)
        kept: NDArray[Any] = np.frombuffer(self._kept[name], row)[numbers]
        return kept

    def values(self, name: str, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[bytes]:
        """The bytes at these places of the file, [n] each. They are inside the section.

        Raises:
            BadDataset: they are damaged, or cannot be read.
        """
        self._check(name, offsets[sizes > 0], sizes[sizes > 0])
        return gather(lambda size, offset: self._read(name, size, offset), offsets, sizes)

    def _read(self, name: str, size: int, offset: int) -> bytes:
        """Bytes of a section, see Note [kept sections]."""
        section = self._private[name]
        if name in self._kept:
            start = offset - int(section["offset"])
            return self._kept[name][start : start + size]
        began = time.perf_counter()
        data = self._file.read(size, offset)
        took = time.perf_counter() - began
        self._waited[name] = max(0.0, self._waited[name] + (took if took > SLOW else -SLOW))
        if self._waited[name] * _RATE > section["size"] <= KEPT:
            self._kept[name] = b"".join(self._sound_pieces(name))
        return data

    def _check(self, name: str, offsets: NDArray[np.int64], sizes: NDArray[np.int64] | int) -> None:
        """Checks the blocks of a section that these byte ranges touch, unless they were checked before.

        Args:
            name: the section.
            offsets: start of each range in the file, [n].
            sizes: their lengths, at least 1.

        Raises:
            BadDataset: one is damaged, or cannot be read.
        """
        if name in self._kept:
            return
        sums = self._sums.get(name)
        if sums is None or not len(offsets) or self._sound[name].all():
            return
        sound, start = self._sound[name], int(self._private[name]["offset"])
        firsts = (offsets - start) // self._block
        lasts = (offsets - start + sizes - 1) // self._block
        most = int((lasts - firsts).max()) + 1
        touched = np.unique(np.minimum(firsts[:, None] + np.arange(most), lasts[:, None]))
        for block in touched[~sound[touched]].tolist():
            first = start + block * self._block
            end = min(first + self._block, start + int(self._private[name]["size"]))
            if zlib.crc32(self._read(name, end - first, first)) != sums[block]:
                raise self._damaged(f"bytes {first} to {end} of it do not match the CRC of its {name}")
            sound[block] = True

    def check_all(self) -> None:
        """Checks all sections completely.

        Raises:
            BadDataset: one is damaged, or cannot be read.
        """
        for name in self._names:
            self._check_section(name)

    def check_again(self) -> None:
        """Checks again, block by block, everything checked so far. Called when the file has changed.

        Raises:
            BadDataset: a section is damaged, or cannot be read.
        """
        self._kept.clear()
        for name in self._names:
            if name not in self._sums:
                self._check_section(name)
                continue
            used = np.flatnonzero(self._sound[name])
            self._sound[name][:] = False
            self._check(name, int(self._private[name]["offset"]) + used * self._block, 1)

    def _check_section(self, name: str) -> None:
        for _ in self._sound_pieces(name):
            pass

    def _sound_pieces(self, name: str) -> Iterator[bytes]:
        """Reads a whole section piece by piece, and checks it after the last piece."""
        section = self._private[name]
        offset, end, crc = int(section["offset"]), int(section["offset"]) + int(section["size"]), 0
        while offset < end:
            piece = self._file.read(min(WHOLE, end - offset), offset)
            crc = zlib.crc32(piece, crc)
            offset += len(piece)
            yield piece
        if crc != section["crc"]:
            raise self._damaged(f"the CRC of its {name} does not match")

    def _damaged(self, why: str) -> BadDataset:
        return BadDataset(f"{self._file.path}: damaged, {why}; copy or convert it again")
