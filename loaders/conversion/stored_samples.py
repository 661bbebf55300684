"""Samples of a pyramid as a source whose records are copied, not made again."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import native
from ..beton.stored_order import Shuffled, Span
from ..errors import BadDataset
from ..plan.records import table_bytes
from ..sources.dataset import Dataset
from ..sources.labels import Refused
from ..sources.parts import Parts
from ..sources.source import Indexed, Sample

_BLOCK = 1 << 12  # index rows read at a time


def settings_of(meta: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `convert` that made a pyramid with this meta data. Older pyramids store every level: no limit."""
    return {"overhead": 100.0} | {key: meta[key] for key in ("ratios", "quality", "overhead", "depth") if key in meta}


class StoredImage:
    """One sample's records.

    Attributes:
        path: the data set's.
        size: bytes of the full-size image.
    """

    def __init__(self, dataset: Dataset, index: int) -> None:
        self._dataset, self._index = dataset, index
        self._entries = dataset.entries([index])[0]
        self.path, self.size = dataset.path, int(self._entries[0]["size"])

    def read(self) -> bytes:
        """The full-size image."""
        return self._dataset.read(self._index)

    def records(self) -> list[native.Record]:
        """Its records, level by level.

        Raises:
            Refused: one does not match its CRC.
        """
        return [self._record(level) for level in range(len(self._entries))]

    def _record(self, level: int) -> native.Record:
        """One of them."""
        entry, raw = self._entries[level], self._dataset.read_record(self._index, level)
        if zlib.crc32(raw) != entry["crc"]:
            raise Refused(f"its record of level {level} in {self.path} is damaged")
        table = int(table_bytes(int(entry["rows"])))
        sides = int(entry["width"]), int(entry["height"])
        return native.Record(raw[table:], raw[:table], int(entry["rows"]), *sides, int(entry["head"]), "")


class StoredSamples(Indexed):
    """Some samples of an open pyramid, or of pyramids that are one data set, as a source for `convert`.

    Attributes:
        path, classes, fields: see `Source`.
        nbytes, largest: bytes of the full-size images, and of the largest of them in a file.
        span: the part of a larger set's order that they are, or None.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | NDArray[np.int64], span: Span | None = None) -> None:
        """
        Raises:
            BadDataset: no pyramid.
        """
        if dataset.meta is None:
            raise BadDataset(f"{dataset.path}: only a pyramid can be cut, and this is not one; convert it first")
        self._dataset, self._indices, self._meta = dataset, np.asarray(indices, np.int64), dataset.meta
        self.path, self.classes, self.fields, self.span = dataset.path, dataset.classes, dict(dataset.fields), span
        sizes = [self._sizes(start) for start in range(0, len(self), _BLOCK)]
        self.nbytes, self.largest = sum(total for total, _ in sizes), max((most for _, most in sizes), default=0)

    def _sizes(self, start: int) -> tuple[int, int]:
        entries = self._stored(self._dataset.entries(self._indices[start : start + _BLOCK]))
        sizes = entries["size"].astype(np.int64) + table_bytes(entries["rows"].astype(np.int64))
        return int(sizes.sum()), int(sizes.max())

    def _stored(self, entries: NDArray[np.void]) -> NDArray[np.void]:
        """Of the ENTRY records [n, levels] those of the images that become level 0, [n]."""
        full: NDArray[np.void] = entries[:, 0]
        return full

    def settings(self) -> dict[str, Any]:
        """See `settings_of`."""
        return settings_of(self._meta)

    def __len__(self) -> int:
        return len(self._indices)

    def index(self, number: int) -> int:
        """A sample's index in the data set."""
        return int(self._indices[number])

    def __getitem__(self, number: int) -> Sample:
        index = self.index(number)
        values = {name: self._dataset.read_field(name, [index])[0] for name in self.fields}
        return Sample(self._dataset.name(index), StoredImage(self._dataset, index), values)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"records {self.digest()}"

    def digest(self) -> str:
        """SHA-256 of the CRCs of all records and of all stored values, in order."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        found = hashlib.sha256(repr([(name, str(kind)) for name, kind in self.fields.items()]).encode())
        for start in range(0, len(self), _BLOCK):
            block = self._indices[start : start + _BLOCK]
            found.update(self._dataset.entries(block)["crc"].tobytes())
            for name in self.fields:
                values = self._dataset.read_field(name, block)
                found.update(values.tobytes() if isinstance(values, np.ndarray) else repr(values).encode())
        return found.hexdigest()


def order_of(dataset: Dataset) -> Shuffled | None:
    """The shuffled order in which all samples are stored; None: they have none in common."""
    order = dataset.shuffled if isinstance(dataset, Parts) else dataset.storage
    return order if isinstance(order, Shuffled) else None


def cut(dataset: Dataset, ends: Sequence[int]) -> Iterator[StoredSamples]:
    """Runs of the samples as they are stored, by index if there is no order of all. ends: of each run."""
    order = order_of(dataset)
    spans: Sequence[Span | None] = [None] * len(ends) if order is None else order.spans(ends)
    for span, (first, end) in zip(spans, pairwise([0, *ends]), strict=True):
        positions = np.arange(first, end)
        yield StoredSamples(dataset, positions if span is None else dataset.stored_at(positions), span)
