"""Writes one level of a data set as an FFCV beton of its own, for FFCV pipelines that know nothing of pyramids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..beton import layout
from ..beton.tables import BLOCK, Pages, read_exactly, write_tables
from ..errors import BadDataset
from ..plan.records import RAW
from ..sources.dataset import Dataset
from ..sources.open import open_dataset


def extract(path: str | os.PathLike[str], out: str | os.PathLike[str], level: int) -> int:
    """Writes level `level` of a beton as the field `image` of a new one, with the same labels.

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
    pages = Pages(len(dataset), page_size)
    placed = np.zeros(len(dataset), layout.LEVEL)
    for name in ("size", "width", "height"):
        placed[name] = entries[name]
    for entry, place in zip(entries, placed, strict=True):
        size = int(entry["size"])
        place["ptr"] = pages.place(size)
        file.seek(int(place["ptr"]))
        file.write(read_exactly(dataset.fd, size, int(entry["offset"]), dataset.path))
    write_tables(file, page_size, ((placed[block], dataset.labels(block)) for block in blocks))
