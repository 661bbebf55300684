"""Writes one level of a data set as an FFCV beton of its own, for FFCV pipelines without our package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..beton import layout
from ..beton.fields import COLUMNS, encode, move, room, row_dtype, with_pointers
from ..beton.tables import BLOCK, Pages, read_exactly, write_tables
from ..errors import BadDataset
from ..plan.records import RAW
from ..sources.dataset import Dataset
from ..sources.open import open_dataset


def extract(path: str | os.PathLike[str], out: str | os.PathLike[str], level: int) -> int:
    """Writes level `level` of a beton as the field `image` of a new one, with all other fields.

    Masks, boxes and points become bytes, as FFCV sees them. Boxes and points are in pixels of the level, masks keep
    their full size. Names of samples and classes are left out: FFCV's format has no place for them.

    An image without that level is written at its next larger one.

    Args:
        path: a pyramid, or any beton with JPEGs.
        out: the beton to write; it gets its name when it is complete.

    Returns:
        bytes of the new beton.

    Raises:
        ValueError: no such level, or `out` is `path`.
        BadDataset: `path` is damaged, or no beton.
        OSError: `out` cannot be written.
    """
    target = Path(out)
    part = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    with open_dataset(path) as dataset:
        if dataset.fd < 0:
            raise BadDataset(f"{dataset.path}: levels are extracted from betons, this is a folder; convert it first")
        if target.exists() and target.samefile(dataset.path):
            raise ValueError(f"{target}: the target must be another file than the source")
        if not 0 <= level < len(dataset.ratios):
            raise ValueError(f"`level` must be from 0 to {len(dataset.ratios) - 1} for {dataset.path}, got {level}")
        try:
            with open(part, "w+b") as file:
                _write(dataset, level, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    return target.stat().st_size


def _smallest(entries: NDArray[np.void]) -> NDArray[np.void]:
    """Of each sample's ENTRY records [n, levels] the last one that is stored, [n]."""
    stored = entries["width"] > 0
    last = stored.shape[1] - 1 - stored[:, ::-1].argmax(axis=1)
    return entries[np.arange(len(entries)), np.where(stored.any(axis=1), last, 0)]


def _write(dataset: Dataset, level: int, file: IO[bytes]) -> None:
    blocks = [np.arange(k, min(k + BLOCK, len(dataset))) for k in range(0, len(dataset), BLOCK)]
    entries = np.concatenate([_smallest(dataset.entries(block)[:, : level + 1]) for block in blocks])
    if (entries["kind"] == RAW).any():
        raise BadDataset(
            f"{dataset.path}: levels are extracted as JPEGs, this beton stores raw pixels; convert it first"
        )
    page_size = layout.page_size_for(int(entries["size"].sum(dtype=np.int64)), int(entries["size"].max()))
    pages = Pages(len(dataset), page_size, types=dataset.fields)
    placed = np.zeros(len(dataset), layout.LEVEL)
    for name in ("size", "width", "height"):
        placed[name] = entries[name]
    for index in np.concatenate(list(dataset.storage_blocks(BLOCK))).tolist():  # stays shuffled, and reads in sequence
        size = int(entries["size"][index])
        place = placed["ptr"][index] = pages.place(size)
        file.seek(place)
        file.write(read_exactly(dataset.fd, size, int(entries["offset"][index]), dataset.path))
    if with_pointers(dataset.fields):
        pages.position = layout.round_up(pages.position, pages.page_size)
    rows = np.concatenate([_values(dataset, level, block, pages, file) for block in blocks])
    file.seek(pages.position)
    write_tables(file, pages.page_size, ((placed[block], rows[block]) for block in blocks), dataset.fields)


def _values(dataset: Dataset, level: int, block: NDArray[np.int64], pages: Pages, file: IO[bytes]) -> NDArray[np.void]:
    """Metadata rows of the fields of some samples; writes the values that they point to, a sample's in one page."""
    types = dataset.fields
    columns = {name: dataset.read_field(name, block) for name in types}
    entries = dataset.entries(block)
    used = _smallest(entries[:, : level + 1])
    shrunk = np.stack([used[side] / entries[side][:, 0] for side in ("width", "height")], axis=1)
    for name, kind in types.items():
        if kind.kind in COLUMNS:  # pixels of the level
            columns[name] = [
                rows * np.resize(scale, COLUMNS[kind.kind]) for rows, scale in zip(columns[name], shrunk, strict=True)
            ]
    rows = np.zeros(len(block), row_dtype(types))
    for k in range(len(block)):
        row, blobs = encode(types, {name: column[k] for name, column in columns.items()}, rows.dtype)
        rows[k] = row
        offset = pages.place(sum(room(len(blob)) for blob in blobs))
        if blobs:
            file.seek(offset)
            file.write(b"".join(blob or b"\0" for blob in blobs))
            move(types, rows[k : k + 1], offset)
    return rows
