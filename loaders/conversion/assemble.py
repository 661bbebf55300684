"""The converter's last step: makes one beton of the working folder's files, under its final name."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

from ..beton import layout
from ..beton.fields import LABEL_ONLY, FieldType, move, row_dtype, with_pointers
from ..beton.tables import BLOCK, table_row, write_head, write_rows
from .journal import Journal
from .target import Target

COPY = 8 << 20  # bytes copied at a time


def finish(
    journal: Journal, target: Target, page_size: int, meta: dict[str, Any], types: Mapping[str, FieldType] | None = None
) -> int:
    """Appends the private section and the tables to the pages, and hands the file over to its target.

    May be interrupted at any point and repeated: it only writes behind the bytes that the journal lists.

    Args:
        types: the fields beside the image; None: `label` only.

    Returns:
        bytes of the beton.
    """
    beton, levels = journal.files["beton"], journal.levels
    row = layout.index_dtype(levels)
    samples = journal.size("index") // row.itemsize
    private = np.zeros((), layout.PRIVATE if types is None else layout.PRIVATE_FIELDS)
    private["samples"], private["levels"], private["row_size"] = samples, levels, row.itemsize
    private["end"][0] = journal.size("beton")
    beton.seek(journal.size("beton"))
    sections = ["index", "names"]
    if types is not None:
        sections.append("checks")
        beton.seek(layout.round_up(journal.size("beton"), page_size))
        _append(journal.files["values"], beton, private, "values")
        private["values"]["crc"] = 0  # each value has a check of its own
    for level in range(1, levels):
        private["start"][level] = beton.tell()
        _copy(journal.files[f"level{level}"], beton)
        private["end"][level] = beton.tell()
    for name in sections:
        _append(journal.files[name], beton, private, name)
    text = layout.pack_meta(meta)
    private["meta"]["offset"], private["meta"]["size"] = beton.tell(), len(text)
    private["meta"]["crc"] = zlib.crc32(text)
    beton.write(text)
    if types is None:
        types, written = LABEL_ONLY, write_rows(beton, _labels(journal.files["index"], row))
    else:
        written = write_rows(beton, _fields(journal, row, types, int(private["values"]["offset"])), types)
        head = layout.HEADER.itemsize + (1 + len(types)) * layout.FIELD.itemsize
        private["rows"]["offset"], private["rows"]["crc"] = head, written.crc
        private["rows"]["size"] = samples * table_row(types).itemsize
    size = written.table + samples * (1 + len(with_pointers(types))) * layout.ALLOCATION.itemsize
    private["file_size"] = size
    write_head(beton, page_size, samples, written.table, layout.pack_private(private), types)
    beton.flush()
    os.fsync(beton.fileno())
    target.publish(journal.folder / "beton")
    journal.remove()
    return size


def _append(source: IO[bytes], beton: IO[bytes], private: np.ndarray, name: str) -> None:
    """Copies a file to the beton's end as a section of that name."""
    private[name]["offset"] = beton.tell()
    private[name]["crc"] = _copy(source, beton)
    private[name]["size"] = beton.tell() - int(private[name]["offset"])


def _copy(source: IO[bytes], beton: IO[bytes]) -> int:
    """Appends a whole file; returns its CRC-32."""
    crc = 0
    source.seek(0)
    while block := source.read(COPY):
        crc = zlib.crc32(block, crc)
        beton.write(block)
    return crc


def _labels(index: IO[bytes], row: np.dtype[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """LEVEL rows of level 0 and labels, in blocks."""
    index.seek(0)
    while block := index.read(BLOCK * row.itemsize):
        rows = np.frombuffer(block, row)
        yield rows["level"][:, 0], rows["label"]


def _fields(
    journal: Journal, row: np.dtype[Any], types: Mapping[str, FieldType], start: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """LEVEL rows of level 0 and the fields' rows, in blocks. start: file offset of the values."""
    stored, fields = journal.files["rows"], row_dtype(types)
    stored.seek(0)
    for level, _ in _labels(journal.files["index"], row):
        rows = np.frombuffer(stored.read(len(level) * fields.itemsize), fields).copy()
        move(types, rows, start)
        yield level, rows
