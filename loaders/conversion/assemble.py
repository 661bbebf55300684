"""The converter's last step: from the working folder's files to one beton under its final name."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..beton import layout
from ..beton.tables import BLOCK, write_tables
from .journal import Journal

COPY = 8 << 20  # bytes copied at a time


def finish(journal: Journal, out: Path, page_size: int, meta: dict[str, Any]) -> int:
    """Appends the private section and the tables to the pages, and gives the file its name.

    May be cut off at any point and done again: it only writes past what the journal vouches for.

    Returns:
        bytes of the beton.
    """
    beton, levels = journal.files[0], journal.levels
    index = journal.files[levels]
    row = layout.index_dtype(levels)
    samples = journal.sizes[levels] // row.itemsize
    private = np.zeros((), layout.PRIVATE)
    private["samples"], private["levels"], private["row_size"] = samples, levels, row.itemsize
    private["end"][0] = journal.sizes[0]
    beton.seek(journal.sizes[0])
    for level in range(1, levels):
        private["start"][level] = beton.tell()
        _copy(journal.files[level], beton)
        private["end"][level] = beton.tell()
    for name, file in (("index", index), ("names", journal.files[levels + 1])):
        offset = beton.tell()
        private[name]["crc"] = _copy(file, beton)
        private[name]["offset"], private[name]["size"] = offset, beton.tell() - offset
    text = layout.pack_meta(meta)
    private["meta"]["offset"], private["meta"]["size"] = beton.tell(), len(text)
    private["meta"]["crc"] = zlib.crc32(text)
    beton.write(text)
    size = beton.tell() + samples * layout.ALLOCATION.itemsize
    private["file_size"] = size
    write_tables(beton, page_size, _level0(index, row), layout.pack_private(private))
    beton.flush()
    os.fsync(beton.fileno())
    os.replace(journal.folder / "beton", out)
    folder = os.open(out.parent, os.O_RDONLY)
    os.fsync(folder)  # the new name itself survives a power failure
    os.close(folder)
    journal.remove()
    return size


def _copy(source: IO[bytes], target: IO[bytes]) -> int:
    """Appends a whole file; returns its CRC-32."""
    crc = 0
    source.seek(0)
    while block := source.read(COPY):
        crc = zlib.crc32(block, crc)
        target.write(block)
    return crc


def _level0(index: IO[bytes], row: np.dtype[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    index.seek(0)
    while block := index.read(BLOCK * row.itemsize):
        rows = np.frombuffer(block, row)
        yield rows["level"][:, 0], rows["label"]
