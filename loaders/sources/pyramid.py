"""Reads a pyramid: a beton with reduced levels and an index."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton import layout, stored_order
from ..beton.fields import LABEL_ONLY, META, FieldType, extents, with_pointers
from ..beton.sections import META as BLOCKS
from ..beton.sections import Sections
from ..beton.stored_fields import StoredFields, decode
from ..beton.tables import Head, read_exactly, read_head
from ..errors import BadDataset
from ..plan.order import StorageOrder
from ..plan.records import OTHER, table_bytes
from .beton_file import BetonFile
from .dataset import empty_entries

_CHECK = np.dtype("<u4")


class Pyramid(BetonFile):
    """An open pyramid. The index stays on disk: each batch reads its own rows.

    Opening checks sizes, the extents of every part, and the CRCs of the meta data, index and names. The blocks of long
    tables are checked when they are first used, see `sections.Sections`.

    Attributes:
        meta: the meta data, with the conversion settings.
        private: the places of its parts, a PRIVATE.
    """

    kind = "pyramid"
    bounds: NDArray[np.int64]

    def __init__(self, fd: int, head: Head, private: np.ndarray) -> None:
        """See `BetonFile`.

        Raises:
            BadDataset: truncated or damaged.
        """
        super().__init__(fd, head)
        self.private = private
        self._samples, levels = int(private["samples"]), int(private["levels"])
        self._stored = StoredFields(head, self.file.read) if private.dtype == layout.PRIVATE_FIELDS else None
        self.fields = LABEL_ONLY if self._stored is None else self._stored.types
        self.label_field = "label" if self.fields.get("label") == LABEL_ONLY["label"] else None
        self._pointed = with_pointers(self.fields)
        names = ("index", "names") if self._stored is None else ("index", "names", "rows", "checks")
        self._check_extents(levels, names)
        self.meta: dict[str, Any] = self._read_meta(levels)
        self._sections = Sections(self.file, private, names, self.meta.pop(BLOCKS, None))
        for kind, key in META.items():
            named = {name: FieldType(kind) for name in self.meta.get(key, []) if name in self.fields}
            self.fields = {**self.fields, **named}
        self.classes: list[str] = self.meta["classes"]
        self.ratios = tuple(self.meta["ratios"])
        self.storage, self.span = self._stored_order()
        self.image_bytes = int(private["end"][0]) - head.rows
        self._index_row = layout.index_dtype(levels)
        self.bounds = np.stack([private["start"][:levels], private["end"][:levels]]).astype(np.int64)
        self._last: tuple[bytes, np.ndarray] = (b"", np.zeros(0, self._index_row))

    def _read_meta(self, levels: int) -> dict[str, Any]:
        section = self.private["meta"]
        text = read_exactly(self.fd, int(section["size"]), int(section["offset"]), self.path)
        if zlib.crc32(text) != section["crc"]:
            self._damaged("the CRC of its meta data does not match")
        try:
            meta: dict[str, Any] = json.loads(text)
            names = all(isinstance(name, str) for name in meta["classes"])
            sizes = len(meta["ratios"]) == levels and all(0 < ratio <= 1 for ratio in meta["ratios"])
        except (ValueError, KeyError, TypeError, RecursionError):
            names = sizes = False
        if not (names and sizes):
            self._damaged("its meta data are not those of a pyramid")
        return meta

    def _stored_order(self) -> tuple[StorageOrder | None, stored_order.Span | None]:
        try:
            return (
                stored_order.parse(self.meta, self._samples),
                stored_order.parse_span(self.meta, self._samples),
            )
        except ValueError as error:
            self._damaged(str(error))

    def _same_tables(self) -> bool:
        if read_head(self.fd, self.path) != self.head:  # the head holds the CRCs of the other tables
            return False
        self._sections.check_again()
        return True

    def check_tables(self) -> None:
        """See `Dataset.check_tables`."""
        self._sections.check_all()

    def _damaged(self, why: str) -> NoReturn:
        raise BadDataset(f"{self.path}: damaged, {why}; copy or convert it again")

    def _check_extents(self, levels: int, sections: tuple[str, ...]) -> None:
        private, size = self.private, self.head.file_size
        if private["file_size"] != size:
            raise BadDataset(
                f"{self.path}: cut short or grown, has {size} bytes of {int(private['file_size'])}; copy it again"
            )
        samples = self._samples
        pointers = samples * (1 + len(self._pointed))
        if samples != self.head.samples or size - self.head.table != pointers * layout.ALLOCATION.itemsize:
            self._damaged(f"its tables hold {self.head.samples} samples, its index {samples}")
        if not 1 <= levels <= layout.MAX_LEVELS or private["row_size"] != layout.index_dtype(levels).itemsize:
            self._damaged(f"it claims {levels} levels with index rows of {int(private['row_size'])} bytes")
        if private["index"]["size"] != samples * int(private["row_size"]):
            self._damaged("its index has another length than its samples need")
        if self._stored is not None:
            rows = private["rows"]
            if rows["offset"] != self.head.rows or rows["size"] != samples * self.head.row.itemsize:
                self._damaged("its metadata rows lie elsewhere than FFCV finds them")
            if private["checks"]["size"] != samples * len(self._pointed) * _CHECK.itemsize:
                self._damaged("its checks have another length than its samples need")
        ends = [int(end) for end in (*private["start"][:levels], *private["end"][:levels])]
        ends += [int(private[name]["offset"]) + int(private[name]["size"]) for name in (*sections, "meta")]
        if max(ends) > self.head.table:
            self._damaged("a part of it reaches into the allocation table")

    def __len__(self) -> int:
        return self._samples

    def index_rows(self, indices: ArrayLike) -> NDArray[np.void]:
        self.check_unchanged()
        indices = self._checked(indices)
        key = indices.tobytes()
        last, rows = self._last
        if key != last:  # a batch reads the same rows twice, for its entries and for its labels
            rows = self._sections.rows("index", self._index_row, indices)
            self._last = (key, rows)
        return rows

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        entries, sound = entries_of(self.index_rows(indices), self.bounds)
        if not sound:
            self._damaged("its index names a record outside its level, or without pixels")
        return entries

    def decode_entries(self, indices: ArrayLike) -> NDArray[np.void]:
        entries = self.entries(indices)
        if self.originals is not None:
            indices = self._checked(indices)
            pointers, sizes = self.value_extents(self.originals, indices)
            kept = np.flatnonzero(sizes)
            full = entries[kept, 0]
            full["rows"] = full["head"] = 0
            full["kind"], full["offset"], full["size"] = OTHER, pointers[kept], sizes[kept]
            full["crc"] = self._checks(self.originals, indices[kept])
            entries[kept, 0] = full
        return entries

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        labels = self.index_rows(indices)["label"].astype(np.int64)
        if (
            self.label_field is not None
            and len(labels)
            and not (labels.min() >= 0 and labels.max() < len(self.meta["classes"]))
        ):
            self._damaged(f"a label is outside its {len(self.meta['classes'])} classes")
        return self.numbered(labels)

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        self.check_unchanged()
        assert self._stored is not None
        kind = self.fields[name]
        if kind.inline:
            return self._stored.read(name, self._rows(indices))
        blobs, sound = self._checked_values(name, indices)
        if not sound.all():
            index = int(indices[int(sound.argmin())])
            self._damaged(f"field `{name}` of sample {index} ({self.name(index)}) does not match its check")
        return decode(kind, blobs, f"{self.path}: field `{name}`")

    def value_extents(self, name: str, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """File offsets and sizes of the stored values of a field with pointers, each [n].

        Raises:
            BadDataset: a value lies outside the file's part for values, or the metadata rows are damaged.
        """
        assert self._stored is not None
        pointers, sizes = extents(self.fields[name], self._stored.column(name, self._rows(indices)))
        values = self.private["values"]
        start, end = int(values["offset"]), int(values["offset"] + values["size"])
        if (sizes > min(end, layout.MAX_PAGE)).any() or ((pointers < start) | (pointers > end - sizes)).any():
            self._damaged(f"field `{name}` points outside its values")
        return pointers.astype(np.int64), sizes.astype(np.int64)

    def _checked_values(self, name: str, indices: NDArray[np.int64]) -> tuple[list[bytes], NDArray[np.bool_]]:
        """Stored bytes of a field with pointers, and whether each value matches its CRC."""
        assert self._stored is not None
        blobs = self._stored.blobs(name, self._stored.column(name, self._rows(indices)))
        return blobs, np.array([zlib.crc32(blob) for blob in blobs], _CHECK) == self._checks(name, indices)

    def _rows(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """The metadata rows of these samples."""
        return self._sections.rows("rows", self.head.row, indices)

    def _checks(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The stored CRC-32 of a field with pointers, for each sample."""
        places = indices * len(self._pointed) + self._pointed.index(name)
        return self._sections.rows("checks", _CHECK, places)

    def damaged_values(self, indices: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
        """The stored values that do not match their CRCs: sample index and an error text for each."""
        for name in self._pointed:
            _, sound = self._checked_values(name, indices)
            for k in np.flatnonzero(~sound):
                yield int(indices[k]), f"its field `{name}` does not match its check"

    def name(self, index: int) -> str:
        return self.names([index])[0]

    def names(self, indices: ArrayLike) -> list[str]:
        rows, section = self.index_rows(indices), self.private["names"]
        starts, sizes = rows["name"].astype(np.int64), rows["name_size"].astype(np.int64)
        outside = (starts > int(section["size"])) | (starts + sizes > int(section["size"]))
        if outside.any():
            self._damaged(f"the name of sample {np.asarray(indices)[outside][0]} lies outside its names")
        return [os.fsdecode(name) for name in self._sections.values("names", starts + int(section["offset"]), sizes)]


def entries_of(rows: NDArray[np.void], bounds: NDArray[np.int64]) -> tuple[NDArray[np.void], bool]:
    """The entries of the levels in index rows.

    Args:
        rows: index rows [n] of pyramids with the same number of levels.
        bounds: `Dataset.bounds` of all, or of the pyramid of each row [n, 2, levels].

    Returns:
        ENTRY [n, levels], and whether all records lie inside their level and have pixels.
    """
    stored, start, end = rows["level"], bounds[..., 0, :], bounds[..., 1, :]
    entries = empty_entries(*stored.shape)
    entries["offset"] = stored["ptr"].astype(np.int64) + start
    for name in ("size", "crc", "head", "rows", "width", "height"):
        entries[name] = stored[name]
    first = entries["offset"] - table_bytes(entries["rows"].astype(np.int64))
    outside = (first < start) | (entries["offset"] > end) | (entries["offset"] + entries["size"] > end)
    return entries, not outside.any() and bool(entries["width"][:, 0].all() and entries["height"][:, 0].all())
