"""Reads the fields other than the image from an open FFCV file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadDataset
from . import layout
from .fields import COLUMNS, KINDS, ORIGINAL, FieldType, extents, unpack_type
from .tables import Head, read_exactly

A_READ = 4096
"""Bytes whose reading takes about as long as starting a second read."""


class StoredFields:
    """Reads the fields other than the image of an open FFCV file.

    Attributes:
        types: type of each field, in file order. Custom types and further image fields are left out.
    """

    def __init__(self, head: Head) -> None:
        """
        Raises:
            BadDataset: a field's descriptor is damaged.
        """
        self._head = head
        self._column: dict[str, str] = {}
        self.types: dict[str, FieldType] = {}
        for k, (name, code) in enumerate(zip(head.names, head.types, strict=True)):
            if code in KINDS and name not in self.types:
                self.types[name] = unpack_type(code, head.arguments[k], f"{head.path}: field `{name}`")
                self._column[name] = f"f{k}"

    def read(self, fd: int, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        """Values of one field for these samples, see `Dataset.read_field`.

        Raises:
            BadDataset: a pointer leads outside the file, or the file cannot be read.
        """
        column, kind = self.column(fd, name, indices), self.types[name]
        if kind.inline:
            return column.astype(np.int64 if kind.kind == "int" else np.float64)
        return decode(kind, self.blobs(fd, name, column), f"{self._head.path}: field `{name}`")

    def column(self, fd: int, name: str, indices: NDArray[np.int64]) -> NDArray[Any]:
        """A field's part of the metadata rows of these samples."""
        size = self._head.row.itemsize
        raw = gather(fd, self._head.rows + indices * size, np.full(len(indices), size, np.int64), self._head.path)
        return np.frombuffer(b"".join(raw), self._head.row)[self._column[name]]

    def blobs(self, fd: int, name: str, column: NDArray[Any]) -> list[bytes]:
        """Stored bytes of a field that has pointers, from its column of the metadata rows."""
        kind, end = self.types[name], self._head.table
        pointers, sizes = extents(kind, column)
        wrong = (sizes > min(end, layout.MAX_PAGE)) | (pointers > end - np.minimum(sizes, end))
        if wrong.any():
            raise BadDataset(f"{self._head.path}: damaged, field `{name}` points outside the file; write it again")
        return gather(fd, pointers.astype(np.int64), sizes.astype(np.int64), self._head.path)


def decode(kind: FieldType, blobs: list[bytes], where: str) -> NDArray[Any] | list[Any]:
    """Values from their stored bytes: an array [n, *shape], or a list of bytes, JSON values, or float32 [m, 4 or 2].

    Raises:
        BadDataset: bytes that are not JSON.
    """
    if kind.dtype is not None:
        return np.frombuffer(b"".join(blobs), kind.dtype).reshape(len(blobs), *kind.shape).copy()
    if kind.kind in ("bytes", "mask", ORIGINAL):
        return list(blobs)
    if kind.kind in COLUMNS:
        if any(len(blob) % (4 * COLUMNS[kind.kind]) for blob in blobs):
            raise BadDataset(f"{where}: damaged, is no rows of {COLUMNS[kind.kind]} numbers; write it again")
        return [np.frombuffer(blob, "<f4").reshape(-1, COLUMNS[kind.kind]).copy() for blob in blobs]
    try:
        return [json.loads(blob.split(b"\0", 1)[0]) for blob in blobs]
    except (ValueError, RecursionError) as error:
        raise BadDataset(f"{where}: damaged, is no JSON ({error}); write it again") from None


def gather(fd: int, offsets: NDArray[np.int64], sizes: NDArray[np.int64], path: str) -> list[bytes]:
    """The bytes at several places of a file: one read if they lie close together, else one each.

    Raises:
        BadDataset: the file is too short, or cannot be read.
    """
    if not len(offsets):
        return []
    first, end = int(offsets.min()), int((offsets + sizes).max())
    if end - first <= A_READ * len(offsets) + int(sizes.sum()):
        raw = read_exactly(fd, end - first, first, path)
        return [raw[a - first : a - first + n] for a, n in zip(offsets.tolist(), sizes.tolist(), strict=True)]
    return [read_exactly(fd, n, a, path) for a, n in zip(offsets.tolist(), sizes.tolist(), strict=True)]
