"""Reads the fields other than the image from an open FFCV file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadDataset
from . import layout
from .fields import COLUMNS, KINDS, ORIGINAL, FieldType, extents, unpack_type
from .tables import Head, Read, gather


class StoredFields:
    """Reads the fields other than the image of an open FFCV file.

    Attributes:
        types: type of each field, in file order. Custom types and further image fields are left out.
    """

    def __init__(self, head: Head, read: Read) -> None:
        """
        Raises:
            BadDataset: a field's descriptor is damaged.
        """
        self._head, self._read = head, read
        self._column: dict[str, str] = {}
        self.types: dict[str, FieldType] = {}
        for k, (name, code) in enumerate(zip(head.names, head.types, strict=True)):
            if code in KINDS and name not in self.types:
                self.types[name] = unpack_type(code, head.arguments[k], f"{head.path}: field `{name}`")
                self._column[name] = f"f{k}"

    def read(self, name: str, rows: NDArray[Any]) -> NDArray[Any] | list[Any]:
        """Values of one field for the samples with these metadata rows, see `Dataset.read_field`.

        Raises:
            BadDataset: a pointer leads outside the file, or the file cannot be read.
        """
        column, kind = self.column(name, rows), self.types[name]
        if kind.inline:
            return column.astype(np.int64 if kind.kind == "int" else np.float64)
        return decode(kind, self.blobs(name, column), f"{self._head.path}: field `{name}`")

    def column(self, name: str, rows: NDArray[Any]) -> NDArray[Any]:
        """A field's part of these metadata rows."""
        column: NDArray[Any] = rows[self._column[name]]
        return column

    def blobs(self, name: str, column: NDArray[Any]) -> list[bytes]:
        """Stored bytes of a field that has pointers, from its column of the metadata rows."""
        kind, end = self.types[name], self._head.table
        pointers, sizes = extents(kind, column)
        wrong = (sizes > min(end, layout.MAX_PAGE)) | (pointers > end - np.minimum(sizes, end))
        if wrong.any():
            raise BadDataset(f"{self._head.path}: damaged, field `{name}` points outside the file; write it again")
        return gather(self._read, pointers.astype(np.int64), sizes.astype(np.int64))


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
            raise BadDataset(f"{where}: damaged, is not rows of {COLUMNS[kind.kind]} numbers; write it again")
        return [np.frombuffer(blob, "<f4").reshape(-1, COLUMNS[kind.kind]).copy() for blob in blobs]
    try:
        return [json.loads(blob.split(b"\0", 1)[0]) for blob in blobs]
    except (ValueError, RecursionError) as error:
        raise BadDataset(f"{where}: damaged, is not JSON ({error}); write it again") from None
