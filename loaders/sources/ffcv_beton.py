"""Reads a beton that FFCV wrote, in any of its write modes: JPEGs or raw pixels.

It has one level and no index. It is slower than a pyramid, because every JPEG is read completely.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton import layout
from ..beton.stored_fields import StoredFields
from ..beton.tables import Head, gather_rows, read_exactly, read_head
from ..errors import BadDataset
from ..plan.records import RAW
from .beton_file import BetonFile
from .dataset import empty_entries

MAX_CLASSES = 1 << 20  # int fields with larger values do not count as class labels


class FFCVBeton(BetonFile):
    """An open FFCV beton: images from its first image field, labels from an int field, and all its other fields."""

    kind = "beton written by FFCV"

    def __init__(self, fd: int, head: Head, label_field: str | Literal[False] | None = None) -> None:
        """See `BetonFile`.

        Args:
            label_field: int field that holds the class labels. None: the one named `label`, else the only int field.
                False: labels are not needed.

        Raises:
            ValueError: `label_field` is not an int field.
            BadDataset: no image field, several int fields of which none is named `label`, or damaged pointers.
        """
        super().__init__(fd, head)
        self.ratios = (1.0,)
        self._crc = self._tables_crc()
        image = head.field(layout.IMAGE_FIELD)
        if image is None:
            raise BadDataset(f"{self.path}: needs an image field, has {', '.join(head.names)}; write it with one")
        self._stored, self.image_bytes = StoredFields(head, self.file.read), head.table - head.rows
        self.fields = self._stored.types
        self.label_field = self._choose_label(label_field)
        raw = read_exactly(fd, head.samples * head.row.itemsize, head.rows, self.path)
        rows = np.frombuffer(raw, head.row)
        images = rows[f"f{image}"]
        self._entries = empty_entries(head.samples, 1)
        self._entries["offset"][:, 0] = images["ptr"]
        self._entries["width"][:, 0], self._entries["height"][:, 0] = images["width"], images["height"]
        if not (images["width"].all() and images["height"].all()):
            raise BadDataset(f"{self.path}: damaged, an image has no pixels; write it again")
        self._entries["size"][:, 0] = self._sizes(head, images["ptr"])
        self._entries["kind"][:, 0] = np.where(images["mode"] != 0, RAW, 0)
        self._check_raw()
        self._labels = np.full(head.samples, -1, np.int64)
        self.classes = []
        if self.label_field is not None:
            self._labels = rows[f"f{head.names.index(self.label_field)}"].astype(np.int64)
            low, high = int(self._labels.min()), int(self._labels.max())
            self.classes = [str(k) for k in range(high + 1)] if low >= 0 and high < MAX_CLASSES else []

    def _check_raw(self) -> None:
        entries = self._entries[:, 0]
        bytes_each = entries["width"].astype(np.int64) * entries["height"] * 3
        wrong = np.flatnonzero((entries["kind"] == RAW) & (entries["size"] != bytes_each))
        if len(wrong):
            size = f"{entries['size'][wrong[0]]} bytes, {bytes_each[wrong[0]]} expected"
            raise BadDataset(f"{self.path}: damaged, the raw pixels of sample {wrong[0]} have {size}; write it again")

    def _choose_label(self, chosen: str | Literal[False] | None) -> str | None:
        if chosen is False:
            return None
        ints = [name for name, kind in self.fields.items() if kind.kind == "int"]
        if chosen is not None:
            if chosen not in ints:
                names = ", ".join(ints) or "none"
                raise ValueError(f"{self.path}: `label_field` must be one of its int fields ({names}), got {chosen!r}")
            return chosen
        if "label" in ints:
            return "label"
        if len(ints) > 1:
            raise BadDataset(
                f"{self.path}: several int fields may be the label ({', '.join(ints)}); name one by `label_field`"
            )
        return ints[0] if ints else None

    def _sizes(self, head: Head, pointers: np.ndarray) -> np.ndarray:
        """Size in bytes of the allocation at each pointer, from the allocation table."""
        raw = read_exactly(self.fd, head.file_size - head.table, head.table, self.path)
        table = np.frombuffer(raw, layout.ALLOCATION)
        order = np.lexsort((table["size"], table["ptr"]))  # an empty allocation shares its pointer with the next one
        at = np.searchsorted(table["ptr"], pointers, side="right", sorter=order) - 1
        found = table[order[np.maximum(at, 0)]] if len(table) else np.zeros(len(pointers), layout.ALLOCATION)
        lost = (found["ptr"] != pointers) | (found["size"] < 3) | (found["size"] > min(head.table, 0xFFFFFFFF))
        lost |= found["ptr"] > head.table - np.minimum(found["size"], head.table)  # a sum might wrap around
        if lost.any():
            first = int(np.flatnonzero(lost)[0])
            raise BadDataset(f"{self.path}: damaged, sample {first} points to no image; write it again")
        return found["size"]

    def _tables_crc(self) -> int:
        """CRC-32 of metadata and allocation table."""
        crc = 0
        for start, size in (
            (self.head.rows, self.head.samples * self.head.row.itemsize),
            (self.head.table, self.head.file_size - self.head.table),
        ):
            crc = zlib.crc32(read_exactly(self.fd, size, start, self.path), crc)
        return crc

    def _same_tables(self) -> bool:
        return read_head(self.fd, self.path) == self.head and self._tables_crc() == self._crc

    def __len__(self) -> int:
        return len(self._labels)

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        self.check_unchanged()
        return self._entries[self._checked(indices)]

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        return self._labels[self._checked(indices)]

    def use_classes(self, classes: Sequence[str]) -> None:
        """Sets the names of the classes, which FFCV stores as numbers: label k is the class `classes[k]`.

        Raises:
            ValueError: fewer names than labels.
        """
        if len(classes) < len(self.classes):
            raise ValueError(f"{self.path}: `classes` must name its {len(self.classes)} classes, got {len(classes)}.")
        self.classes = list(classes)

    def read(self, index: int, level: int = 0) -> bytes:
        """The image of a sample as a file: its JPEG, or for stored pixels a PPM."""
        data, entry = super().read(index, level), self._entries[index, level]
        return b"P6 %d %d 255\n" % (entry["width"], entry["height"]) + data if entry["kind"] == RAW else data

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        return self._stored.read(name, gather_rows(self.file.read, self.head.row, self.head.rows, indices))

    def name(self, index: int) -> str:
        return f"sample {int(self._checked([index])[0])}"
