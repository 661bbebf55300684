"""Writes one level of a store as a stock beton of its own, for FFCV pipelines that know nothing of ladders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np

from loaders.errors import BadDataset
from loaders.store import layout
from loaders.store.base import Store
from loaders.store.beton import BLOCK, Pages, read_exactly, write_tables
from loaders.store.open import open_store


def extract(path: str | os.PathLike[str], out: str | os.PathLike[str], level: int) -> int:
    """Writes level `level` of a beton as the field `image` of a new one, with the same labels.

    Args:
        path: a ladder, or any beton with JPEGs.
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
    with open_store(path) as store:
        if store.fd < 0:
            raise BadDataset(f"{store.path}: levels are extracted from betons, this is a folder; convert it first")
        if target.exists() and target.samefile(store.path):
            raise ValueError(f"{target}: the target must be another file than the source")
        if not 0 <= level < len(store.ratios):
            raise ValueError(f"`level` must be from 0 to {len(store.ratios) - 1} for {store.path}, got {level}")
        try:
            with open(part, "w+b") as file:
                _write(store, level, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    return target.stat().st_size


def _write(store: Store, level: int, file: IO[bytes]) -> None:
    blocks = [np.arange(k, min(k + BLOCK, len(store))) for k in range(0, len(store), BLOCK)]
    entries = np.concatenate([store.entries(block)[:, level] for block in blocks])
    page_size = layout.page_size_for(int(entries["size"].sum(dtype=np.int64)), int(entries["size"].max()))
    pages = Pages(len(store), page_size)
    placed = np.zeros(len(store), layout.LEVEL)
    for name in ("size", "width", "height"):
        placed[name] = entries[name]
    for entry, place in zip(entries, placed, strict=True):
        size = int(entry["size"])
        place["ptr"] = pages.place(size)
        file.seek(int(place["ptr"]))
        file.write(read_exactly(store.fd, size, int(entry["offset"]), store.path))
    write_tables(file, page_size, ((placed[block], store.labels(block)) for block in blocks))
