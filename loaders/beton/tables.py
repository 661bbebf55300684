"""FFCV's part of a beton: reads its head, and writes its tables, without FFCV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BadDataset
from ..not_read import remedy
from . import layout
from .fields import LABEL_ONLY, FieldType, extents, pack_arguments, with_pointers

BLOCK = 1 << 16  # samples handled at a time when tables are written
A_READ = 4096
"""Bytes whose reading takes about as long as starting a second read."""


@dataclass(frozen=True)
class Head:
    """The head of a beton: everything before its first metadata row."""

    path: str
    file_size: int
    page_size: int
    samples: int
    table: int  # file offset of the allocation table, which runs to the end of the file
    types: list[int]
    names: list[str]
    arguments: list[bytes]
    row: np.dtype[Any]  # one metadata row, fields f0, f1, ...
    rows: int  # file offset of the first metadata row

    def field(self, kind: int) -> int | None:
        """Number of the first field of a type, or None."""
        return self.types.index(kind) if kind in self.types else None


def read_exactly(fd: int, size: int, offset: int, path: str) -> bytes:
    """`size` bytes from `offset`.

    Raises:
        BadDataset: the file is too short, or cannot be read.
    """
    parts = []
    while size > 0:
        try:
            part = os.pread(fd, min(size, 1 << 30), offset)
        except OSError as error:
            raise BadDataset(f"{path}: cannot be read at byte {offset}: {error.strerror}") from None
        if not part:
            raise BadDataset(f"{path}: cut short at byte {offset}; copy or convert it again")
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass
class OpenFile:
    """An open file."""

    fd: int  # -1: closed
    path: str

    def read(self, size: int, offset: int) -> bytes:
        """See `read_exactly`."""
        return read_exactly(self.fd, size, offset, self.path)


Read = Callable[[int, int], bytes]
"""Function that reads this many bytes from this file offset on, as `OpenFile.read` does."""


def gather(read: Read, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[bytes]:
    """The bytes at several places of a file: one read if they lie close together, else one each."""
    if not len(offsets):
        return []
    first, end = int(offsets.min()), int((offsets + sizes).max())
    places = zip(offsets.tolist(), sizes.tolist(), strict=True)
    if end - first <= A_READ * len(offsets) + int(sizes.sum()):
        raw = read(end - first, first)
        return [raw[offset - first : offset - first + size] for offset, size in places]
    return [read(size, offset) for offset, size in places]


def gather_rows(read: Read, row: np.dtype[Any], start: int, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of a table [n], given by their numbers. start: file offset of row 0. Reads as `gather` does."""
    size = row.itemsize
    if not len(numbers):
        return np.zeros(0, row)
    first = int(numbers.min())
    span = int(numbers.max()) + 1 - first
    if span * size <= (A_READ + size) * len(numbers):
        return np.frombuffer(read(span * size, start + first * size), row)[numbers - first]
    return np.frombuffer(b"".join([read(size, start + k * size) for k in numbers.tolist()]), row)


def read_head(fd: int, path: str) -> Head:
    """Reads and checks header, field descriptors and the extents of the tables.

    Raises:
        BadDataset: not a beton, unfinished, or truncated.
    """
    size = os.fstat(fd).st_size
    start = read_exactly(fd, min(size, layout.HEADER.itemsize), 0, path)
    header = np.frombuffer(start.ljust(layout.HEADER.itemsize, b"\0"), layout.HEADER)[0]
    if size < layout.HEADER.itemsize or header["version"] != layout.VERSION or not 1 <= header["fields"] <= 256:
        what = remedy(path, "`efficienttrain convert` makes one")
        raise BadDataset(f"{path}: not a beton file (FFCV's format, version {layout.VERSION}); {what}")
    count, samples, table = int(header["fields"]), int(header["samples"]), int(header["table"])
    if table == 0:
        raise BadDataset(f"{path}: its writer never finished (allocation table at 0); convert it again")
    raw = read_exactly(fd, count * layout.FIELD.itemsize, layout.HEADER.itemsize, path)
    fields = np.frombuffer(raw, layout.FIELD)
    try:
        types = [int(kind) for kind in fields["type"]]
        row = layout.metadata_dtype(types)
    except BadDataset as error:
        raise BadDataset(f"{path}: {error}") from None
    rows = layout.HEADER.itemsize + len(raw)
    if rows + samples * row.itemsize > table or table > size or (size - table) % layout.ALLOCATION.itemsize:
        raise BadDataset(f"{path}: cut short or damaged, has {size} bytes; copy or convert it again")
    if samples == 0:
        raise BadDataset(f"{path}: holds no samples; convert a folder that has images")
    return Head(
        path=path,
        file_size=size,
        page_size=int(header["page_size"]),
        samples=samples,
        table=table,
        types=types,
        names=[name.split(b"\0")[0].decode("ascii", "replace") for name in fields["name"]],
        arguments=[argument.tobytes() for argument in fields["arguments"]],
        row=row,
        rows=rows,
    )


def table_row(types: Mapping[str, FieldType]) -> np.dtype[Any]:
    """Metadata row of a beton written here: the image, then these fields."""
    return layout.metadata_dtype([layout.IMAGE_FIELD, *(kind.code for kind in types.values())])


class Pages:
    """Assigns file offsets to records one after the other, so that none straddles a page.

    Pages grow to hold a larger record. Earlier offsets stay valid: pages are powers of two, so that the boundaries of
    the larger ones are boundaries of the smaller ones too.

    Attributes:
        first: file offset of the first record, after the head and the metadata. FFCV's own writer begins a page there;
            its readers only require that no record straddles one.
        page_size: bytes, so far.
        position: end of the last record.
    """

    def __init__(
        self,
        samples: int,
        page_size: int,
        position: int | None = None,
        types: Mapping[str, FieldType] = LABEL_ONLY,
    ) -> None:
        """types: the fields of these samples other than the image; position: of the next row, None: at `first`."""
        head = layout.HEADER.itemsize + (1 + len(types)) * layout.FIELD.itemsize
        self.first = layout.round_up(head + samples * table_row(types).itemsize, 4096)
        self.page_size = page_size
        self.position = self.first if position is None else position

    def place(self, size: int) -> int:
        """File offset for the next `size` bytes.

        Raises:
            ValueError: more than the largest page.
        """
        self.position, offset, self.page_size = place(self.position, size, self.page_size)
        return offset


def place(position: int, size: int, page_size: int) -> tuple[int, int, int]:
    """Places `size` bytes at or after `position`, see `Pages`: the new position, their offset, and the page size.

    Raises:
        ValueError: more than the largest page.
    """
    if size > layout.MAX_PAGE:
        raise ValueError(f"a record must fit a page of {layout.MAX_PAGE} bytes, got {size}")
    while page_size < size:
        page_size *= 2
    if position % page_size + size > page_size:
        position = layout.round_up(position, page_size)
    return position + size, position, page_size


class Written(NamedTuple):
    """The tables of a beton: number of samples, file offset of the allocation table."""

    samples: int
    table: int


def write_rows(
    file: IO[bytes],
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
    types: Mapping[str, FieldType] = LABEL_ONLY,
    see: Callable[[bytes], object] = lambda _: None,
) -> Written:
    """Writes the allocation table to the end of `file`, and the metadata table to its place near the beginning.

    Args:
        file: positioned at the start of the allocation table.
        blocks: (LEVEL rows with absolute pointers, field values) of runs of samples in order; field values are the
            labels, or rows of `fields.row_dtype` with absolute pointers if there are other fields.
        types: the fields other than the image.
        see: called with the metadata table, piece by piece.
    """
    table, samples = file.tell(), 0
    row, pointed = table_row(types), with_pointers(types)
    head = layout.HEADER.itemsize + (1 + len(types)) * layout.FIELD.itemsize
    for level, values in blocks:
        allocation = np.zeros((len(level), 1 + len(pointed)), layout.ALLOCATION)
        allocation["sample"] = np.arange(samples, samples + len(level))[:, None]
        allocation["ptr"][:, 0], allocation["size"][:, 0] = level["ptr"], level["size"]
        rows = np.zeros(len(level), row)
        for name in ("width", "height", "ptr"):
            rows["f0"][name] = level[name]
        for k, name in enumerate(types, 1):
            rows[f"f{k}"] = values[name] if values.dtype.names else values
        for k, name in enumerate(pointed, 1):
            allocation["ptr"][:, k], allocation["size"][:, k] = extents(types[name], values[name])
        see(rows.tobytes())
        file.seek(head + samples * row.itemsize)
        file.write(rows.tobytes())
        file.seek(table + samples * layout.ALLOCATION.itemsize * (1 + len(pointed)))
        file.write(allocation.tobytes())
        samples += len(level)
    return Written(samples, table)


def write_head(
    file: IO[bytes], page_size: int, samples: int, table: int, arguments: bytes, types: Mapping[str, FieldType]
) -> None:
    """Writes header and field descriptors. table: file offset of the allocation table."""
    fields = np.zeros(1 + len(types), layout.FIELD)
    fields["type"] = layout.IMAGE_FIELD, *(kind.code for kind in types.values())
    fields["name"] = b"image", *(name.encode("ascii") for name in types)
    packed = [arguments.ljust(layout.FIELD["arguments"].itemsize, b"\0"), *map(pack_arguments, types.values())]
    fields["arguments"] = np.frombuffer(b"".join(packed), layout.FIELD["arguments"])
    header = np.zeros(1, layout.HEADER)
    header["version"], header["fields"], header["page_size"] = layout.VERSION, len(fields), page_size
    header["samples"], header["table"] = samples, table
    file.seek(0)
    file.write(header.tobytes() + fields.tobytes())
