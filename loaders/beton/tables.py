"""FFCV's part of a beton: the head that is read, and the tables that are written, without FFCV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from ..errors import BadDataset
from . import layout

BLOCK = 1 << 16  # samples handled at a time where tables are written
ROW = layout.metadata_dtype([layout.IMAGE_FIELD, layout.INT_FIELD])
"""Metadata row of the betons written here: image, label."""


@dataclass(frozen=True)
class Head:
    """What a beton says of itself before its first metadata row."""

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
        BadDataset: the file ends before, or cannot be read.
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


def read_head(fd: int, path: str) -> Head:
    """Reads and checks header, field descriptors and the extents of the tables.

    Raises:
        BadDataset: not a beton, unfinished, or cut short.
    """
    size = os.fstat(fd).st_size
    start = read_exactly(fd, min(size, layout.HEADER.itemsize), 0, path)
    header = np.frombuffer(start.ljust(layout.HEADER.itemsize, b"\0"), layout.HEADER)[0]
    if size < layout.HEADER.itemsize or header["version"] != layout.VERSION or not 1 <= header["fields"] <= 256:
        raise BadDataset(f"{path}: no beton of version {layout.VERSION}; `efficienttrain convert` makes one")
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


class Pages:
    """Gives out places for records one after the other, so that none straddles a page."""

    def __init__(self, samples: int, page_size: int, position: int | None = None) -> None:
        head = layout.HEADER.itemsize + 2 * layout.FIELD.itemsize + samples * ROW.itemsize
        self.page_size = page_size
        self.first = layout.round_up(head, 4096)
        """File offset of the first record, after the head and the metadata of `samples` samples.

        FFCV's own writer begins a page there; its readers ask only that no record straddles one.
        """
        self.position = self.first if position is None else position

    def place(self, size: int) -> int:
        """File offset for the next `size` bytes.

        Raises:
            ValueError: more than a page.
        """
        if size > self.page_size:
            raise ValueError(f"a record must fit its page of {self.page_size} bytes, got {size}")
        if self.position % self.page_size + size > self.page_size:
            self.position = layout.round_up(self.position, self.page_size)
        offset = self.position
        self.position += size
        return offset


def write_tables(
    file: IO[bytes], page_size: int, levels: Iterator[tuple[np.ndarray, np.ndarray]], arguments: bytes = b""
) -> None:
    """Ends a beton whose pages are written: the allocation table goes to the end of `file`, then the head.

    Args:
        file: positioned where the allocation table shall start.
        levels: blocks of (LEVEL rows with absolute pointers, labels) in sample order.
        arguments: what the image field's arguments bytes start with.
    """
    table = file.tell()
    head = layout.HEADER.itemsize + 2 * layout.FIELD.itemsize
    samples = 0
    for level, labels in levels:
        allocation = np.zeros(len(level), layout.ALLOCATION)
        allocation["sample"] = np.arange(samples, samples + len(level))
        allocation["ptr"], allocation["size"] = level["ptr"], level["size"]
        rows = np.zeros(len(level), ROW)
        for name in ("width", "height", "ptr"):
            rows["f0"][name] = level[name]
        rows["f1"] = labels
        file.seek(head + samples * ROW.itemsize)
        file.write(rows.tobytes())
        file.seek(table + samples * layout.ALLOCATION.itemsize)
        file.write(allocation.tobytes())
        samples += len(level)
    fields = np.zeros(2, layout.FIELD)
    fields["type"] = layout.IMAGE_FIELD, layout.INT_FIELD
    fields["name"] = b"image", b"label"
    fields["arguments"][0] = np.void(arguments.ljust(layout.FIELD["arguments"].itemsize, b"\0"))
    header = np.zeros(1, layout.HEADER)
    header["version"], header["fields"], header["page_size"] = layout.VERSION, 2, page_size
    header["samples"], header["table"] = samples, table
    file.seek(0)
    file.write(header.tobytes() + fields.tobytes())
