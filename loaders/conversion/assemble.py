"""The converter's last step: makes one beton of the working folder's files."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..beton import layout
from ..beton.fields import LABEL_ONLY, FieldType, move_pointers, row_dtype, with_pointers
from ..beton.sections import META, BlockSums, described
from ..beton.tables import BLOCK, table_row, write_head, write_rows
from .journal import Journal
from .move import move
from .writer import PLACE

COPY = 8 << 20  # bytes copied at a time
LEAST_SORTED, MOST_SORTED = 1 << 18, 1 << 20  # rows of a file that are brought into another order at a time

Advance = Callable[[int], object]
"""Is told of bytes that are done, for a progress bar."""


def work_left(journal: Journal) -> int:
    """Bytes that `finish` will report."""
    left = sum(os.fstat(journal.files[name].fileno()).st_size for name in journal.moved)
    return left + sum(journal.size(name) for name in ("index", "index", "names", "checks") if name in journal.names)


def finish(
    journal: Journal,
    page_size: int,
    meta: dict[str, Any],
    types: Mapping[str, FieldType] | None = None,
    advance: Advance = lambda _: None,
) -> int:
    """Appends the private section and the tables to the pages, and flushes the file to the disk.

    Moves the reduced levels and the stored values without room for a second copy of them, see `journal`'s Note
    [sealed]. If it is interrupted, another call continues there; the tables behind are then written again.

    Args:
        types: the fields beside the image; None: `label` only.
        advance: is told of `work_left` bytes in all.

    Returns:
        bytes of the beton.
    """
    beton, levels = journal.files["beton"], journal.levels
    row = layout.index_dtype(levels)
    samples = journal.size("index") // row.itemsize
    private = np.zeros((), layout.PRIVATE if types is None else layout.PRIVATE_FIELDS)
    private["samples"], private["levels"], private["row_size"] = samples, levels, row.itemsize
    private["end"][0] = position = journal.size("beton")
    ranks = _ranks(journal)
    places: dict[str, int] = {}
    if types is not None:
        places["values"] = layout.round_up(position, page_size)
        private["values"]["offset"], private["values"]["size"] = places["values"], journal.size("values")
        position = places["values"] + journal.size("values")  # no CRC: each value has a check of its own
    for level in range(1, levels):
        places[f"level{level}"] = private["start"][level] = position
        private["end"][level] = position = position + journal.size(f"level{level}")
    journal.seal()
    for name, place in places.items():
        move(journal.files[name].fileno(), beton.fileno(), place, advance)
    beton.seek(position)
    index = (rows.tobytes() for rows in _in_order(journal.files["index"], row, ranks))
    blocks = {"index": _append(index, beton, private["index"], advance)}
    blocks["names"] = _append(_pieces(journal.files["names"]), beton, private["names"], advance)
    if types is None:
        _write_meta(beton, private, meta, blocks)
        types, written = LABEL_ONLY, write_rows(beton, _labels(journal, row, ranks, advance))
    else:
        form = np.dtype(("V", 4 * len(with_pointers(types))))
        checks = (rows.tobytes() for rows in _in_order(journal.files["checks"], form, ranks))
        blocks["checks"] = _append(checks, beton, private["checks"], advance)
        private["rows"]["offset"] = layout.HEADER.itemsize + (1 + len(types)) * layout.FIELD.itemsize
        private["rows"]["size"] = samples * table_row(types).itemsize
        fields = _fields(journal, row, ranks, types, int(private["values"]["offset"]), advance)
        place = beton.tell()
        # FFCV's tables lie behind the meta data, which state their checks: room is left for those
        _write_meta(beton, private, meta, {**blocks, "rows": BlockSums.blank(int(private["rows"]["size"]))})
        rows = BlockSums()
        written = write_rows(beton, fields, types, rows.update)
        private["rows"]["crc"], blocks["rows"] = rows.crc, rows.packed()
        beton.seek(place)
        _write_meta(beton, private, meta, blocks)
    size = written.table + samples * (1 + len(with_pointers(types))) * layout.ALLOCATION.itemsize
    private["file_size"] = size
    write_head(beton, page_size, samples, written.table, layout.pack_private(private), types)
    beton.flush()
    beton.truncate(size)
    os.fsync(beton.fileno())
    return size


def _ranks(journal: Journal) -> NDArray[np.int64]:
    """The sample index of each stored row: [samples]. Indices follow the order of the source."""
    places = np.fromfile(journal.folder / "places", PLACE)
    ranks = np.empty(len(places), np.int64)
    ranks[np.argsort(places)] = np.arange(len(places))
    return ranks


def _in_order(stored: IO[bytes], row: np.dtype[Any], ranks: NDArray[np.int64]) -> Iterator[np.ndarray]:
    """The rows of a file in the order of their ranks, in blocks of `BLOCK`; the last one may be shorter.

    Memory is bounded: the file is read again for every `MOST_SORTED` rows, and by smaller sets up to eight times.
    """
    if not row.itemsize:
        return
    at_once = min(max(len(ranks) // 8, LEAST_SORTED), MOST_SORTED)
    for first in range(0, len(ranks), at_once):
        rows = np.empty(min(at_once, len(ranks) - first), row)
        stored.seek(0)
        for start in range(0, len(ranks), BLOCK):
            places = ranks[start : start + BLOCK] - first
            block = np.frombuffer(stored.read(len(places) * row.itemsize), row)
            inside = (places >= 0) & (places < len(rows))
            rows[places[inside]] = block[inside]
        for start in range(0, len(rows), BLOCK):
            yield rows[start : start + BLOCK]


def _append(pieces: Iterator[bytes], beton: IO[bytes], section: np.ndarray, advance: Advance) -> str:
    """Writes a section to the beton's end; returns the CRCs of its blocks."""
    sums = BlockSums()
    section["offset"] = beton.tell()
    for piece in pieces:
        sums.update(piece)
        beton.write(piece)
        advance(len(piece))
    section["crc"], section["size"] = sums.crc, sums.size
    return sums.packed()


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    """A file from its beginning."""
    source.seek(0)
    while piece := source.read(COPY):
        yield piece


def _write_meta(beton: IO[bytes], private: np.ndarray, meta: dict[str, Any], blocks: dict[str, str]) -> None:
    """Writes the meta data, with the CRCs of the sections' blocks, where the beton's file position is."""
    text = layout.pack_meta({**meta, META: described(blocks)})
    section = private["meta"]
    section["offset"], section["size"], section["crc"] = beton.tell(), len(text), zlib.crc32(text)
    beton.write(text)


def _labels(
    journal: Journal, row: np.dtype[Any], ranks: NDArray[np.int64], advance: Advance
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """LEVEL rows of level 0 and labels, in blocks."""
    for rows in _in_order(journal.files["index"], row, ranks):
        yield rows["level"][:, 0], rows["label"]
        advance(rows.nbytes)


def _fields(
    journal: Journal,
    row: np.dtype[Any],
    ranks: NDArray[np.int64],
    types: Mapping[str, FieldType],
    start: int,
    advance: Advance,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """LEVEL rows of level 0 and the fields' rows, in blocks. start: file offset of the values."""
    if not types:
        for level, _ in _labels(journal, row, ranks, advance):
            yield level, np.zeros(len(level), row_dtype(types))
        return
    stored = _in_order(journal.files["rows"], row_dtype(types), ranks)
    for (level, _), rows in zip(_labels(journal, row, ranks, advance), stored, strict=True):
        move_pointers(types, rows, start)
        yield level, rows
