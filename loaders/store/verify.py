"""Reads every record of a beton, compares its CRC, decodes it, and names what is damaged."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from loaders import native
from loaders.errors import BadDataset
from loaders.store import layout
from loaders.store.base import Store
from loaders.store.beton import ROW, read_exactly
from loaders.store.ladder import Ladder
from loaders.store.open import open_store

BLOCK = 64  # samples checked by a thread in one go


class Damage(NamedTuple):
    """One damaged record.

    Attributes:
        sample: its index.
        name: the sample's source name.
        level: 0 for full size, -1 where FFCV's tables are meant.
        why: what is wrong with it.
    """

    sample: int
    name: str
    level: int
    why: str


def verify(path: str | os.PathLike[str], *, workers: int | None = None, progress: bool = False) -> list[Damage]:
    """Checks a beton from end to end; an empty list means that it is sound.

    A beton that FFCV wrote has no CRCs: its records are decoded only.

    Args:
        workers: threads; None: one per processor.
        progress: show a progress bar on stderr.

    Raises:
        BadDataset: it cannot even be opened: not a beton, cut short, or its index is damaged.
    """
    from tqdm import tqdm

    with open_store(path) as store:
        if store.fd < 0:
            raise BadDataset(f"{store.path}: only betons can be verified, this is a folder; convert it first")
        blocks = [np.arange(k, min(k + BLOCK, len(store))) for k in range(0, len(store), BLOCK)]
        damages: list[Damage] = []
        pool = ThreadPoolExecutor(workers or len(os.sched_getaffinity(0)))
        try:
            found = pool.map(lambda block: list(_check(store, block)), blocks)
            with tqdm(total=len(store), unit="img", desc="verify", disable=not progress) as bar:
                for block, damaged in zip(blocks, found, strict=True):
                    damages += damaged
                    bar.update(len(block))
        finally:
            pool.shutdown(cancel_futures=True)
    return damages


def _check(store: Store, block: np.ndarray) -> Iterator[Damage]:
    """Damages of a run of samples."""
    entries = store.entries(block)
    if isinstance(store, Ladder):
        for k in np.flatnonzero(_strangers(store, block, entries)):
            index = int(block[k])
            yield Damage(index, store.name(index), -1, "FFCV's tables disagree with the index")
    for index, levels in zip(block.tolist(), entries, strict=True):
        for level, entry in enumerate(levels):
            why = _fault(store, entry)
            if why:
                yield Damage(index, store.name(index), level, why)


def _strangers(store: Ladder, block: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Which samples FFCV would find elsewhere, or with another size or label, than the index has them."""
    head, first, count = store.head, int(block[0]), len(block)
    raw = read_exactly(store.fd, count * ROW.itemsize, head.rows + first * ROW.itemsize, store.path)
    rows = np.frombuffer(raw, ROW)
    step = layout.ALLOCATION.itemsize
    table = np.frombuffer(
        read_exactly(store.fd, count * step, head.table + first * step, store.path), layout.ALLOCATION
    )
    full, image = entries[:, 0], rows["f0"]
    return (
        (image["mode"] != 0)
        | (image["ptr"] != full["offset"])
        | (image["width"] != full["width"])
        | (image["height"] != full["height"])
        | (rows["f1"] != store.labels(block))
        | (table["sample"] != block)
        | (table["ptr"] != full["offset"])
        | (table["size"] != full["size"])
    )


def _fault(store: Store, entry: np.void) -> str:
    """What is wrong with a record, or ""."""
    table, size = 4 * int(entry["rows"]), int(entry["size"])
    raw = read_exactly(store.fd, table + size, int(entry["offset"]) - table, store.path)
    if entry["crc"] and zlib.crc32(raw) != entry["crc"]:
        return "its CRC does not match"
    if table and int.from_bytes(raw[:4], "little") != entry["head"]:
        return "its row table does not start where the JPEG's data do"
    try:
        pixels = native.decode(raw[table:])
    except native.JpegError as error:
        return str(error)
    height, width = pixels.shape[:2]
    if (width, height) != (entry["width"], entry["height"]):
        return f"it is {width}x{height}, the index says {entry['width']}x{entry['height']}"
    return ""
