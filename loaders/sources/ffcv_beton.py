"""Reads a beton that FFCV wrote: one level, no index; slower than a pyramid, since every record is read whole."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton import layout
from ..beton.tables import Head, read_exactly, read_head
from ..errors import BadDataset
from .dataset import Dataset, empty_entries

MAX_CLASSES = 1 << 20  # labels above this name no classes


class FFCVBeton(Dataset):
    """An FFCV beton, open: images from its first image field, labels from its first int field."""

    def __init__(self, fd: int, head: Head) -> None:
        """Takes over `fd`; the caller closes it if this raises.

        Raises:
            BadDataset: no such fields, images stored as raw pixels, or pointers that lead nowhere.
        """
        self.fd, self.path, self.ratios, self._head = fd, head.path, (1.0,), head
        self.check_unchanged()
        self._crc = self._tables_crc()
        image, label = head.field(layout.IMAGE_FIELD), head.field(layout.INT_FIELD)
        if image is None or label is None:
            missing = "an image field" if image is None else "an int field for labels"
            raise BadDataset(f"{self.path}: needs {missing}, has {', '.join(head.names)}; write it with one")
        raw = read_exactly(fd, head.samples * head.row.itemsize, head.rows, self.path)
        rows = np.frombuffer(raw, head.row)
        images = rows[f"f{image}"]
        if images["mode"].any():
            first = int(np.flatnonzero(images["mode"])[0])
            raise BadDataset(
                f"{self.path}: images must be JPEGs, sample {first} is raw pixels; "
                'write it with write_mode="jpg", or convert the source folder with `efficienttrain convert`'
            )
        self._labels = rows[f"f{label}"].astype(np.int64)
        self._entries = empty_entries(head.samples, 1)
        self._entries["offset"][:, 0] = images["ptr"]
        self._entries["width"][:, 0], self._entries["height"][:, 0] = images["width"], images["height"]
        if not (images["width"].all() and images["height"].all()):
            raise BadDataset(f"{self.path}: damaged, an image has no pixels; write it again")
        self._entries["size"][:, 0] = self._sizes(head, images["ptr"])
        low, high = int(self._labels.min()), int(self._labels.max())
        self.classes = [str(k) for k in range(high + 1)] if low >= 0 and high < MAX_CLASSES else []

    def _sizes(self, head: Head, pointers: np.ndarray) -> np.ndarray:
        """Bytes at each pointer, as the allocation table has them."""
        raw = read_exactly(self.fd, head.file_size - head.table, head.table, self.path)
        table = np.frombuffer(raw, layout.ALLOCATION)
        order = np.lexsort((table["size"], table["ptr"]))  # an empty allocation shares its pointer with the next one
        at = np.searchsorted(table["ptr"], pointers, side="right", sorter=order) - 1
        found = table[order[np.maximum(at, 0)]] if len(table) else np.zeros(len(pointers), layout.ALLOCATION)
        lost = (found["ptr"] != pointers) | (found["size"] < 4) | (found["size"] > min(head.table, 0xFFFFFFFF))
        lost |= found["ptr"] > head.table - np.minimum(found["size"], head.table)  # a sum might wrap around
        if lost.any():
            first = int(np.flatnonzero(lost)[0])
            raise BadDataset(f"{self.path}: damaged, sample {first} points to no image; write it again")
        return found["size"]

    def _tables_crc(self) -> int:
        """CRC-32 of metadata and allocation table."""
        crc = 0
        for start, size in (
            (self._head.rows, self._head.samples * self._head.row.itemsize),
            (self._head.table, self._head.file_size - self._head.table),
        ):
            crc = zlib.crc32(read_exactly(self.fd, size, start, self.path), crc)
        return crc

    def _same_tables(self) -> bool:
        return read_head(self.fd, self.path) == self._head and self._tables_crc() == self._crc

    def __len__(self) -> int:
        return len(self._labels)

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        self.check_unchanged()
        return self._entries[self._checked(indices)]

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        return self._labels[self._checked(indices)]

    def name(self, index: int) -> str:
        return f"sample {int(self._checked([index])[0])}"
