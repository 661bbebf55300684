"""Reads every record of a beton, compares its CRC, decodes it, and names each damaged record."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .. import native
from ..beton import layout
from ..beton.tables import ROW, read_exactly
from ..errors import BadDataset
from ..plan.records import RAW, table_bytes
from ..sources.dataset import Dataset
from ..sources.open import open_dataset
from ..sources.pyramid import Pyramid

BLOCK = 64  # samples checked by a thread in one go


class Damage(NamedTuple):
    """One damaged record.

    Attributes:
        sample: its index; -1 where the file's header is meant.
        name: the sample's source name; the file's own where its header is meant.
        level: 0 for full size, -1 where FFCV's tables are meant.
        why: what is wrong with it.
    """

    sample: int
    name: str
    level: int
    why: str


def verify(path: str | os.PathLike[str], *, workers: int | None = None, progress: bool = False) -> list[Damage]:
    """Checks a beton from end to end; an empty list means that no damage was found.

    A beton that FFCV wrote has no CRCs: its JPEGs are decoded only, and of raw pixels only the number is checked.

    Args:
        workers: threads; None: one per processor.
        progress: show a progress bar on stderr.

    Raises:
        BadDataset: it cannot even be opened: not a beton, cut short, or its index is damaged.
    """
    from tqdm import tqdm

    with open_dataset(path) as dataset:
        if dataset.fd < 0:
            raise BadDataset(f"{dataset.path}: only betons can be verified, this is a folder; convert it first")
        blocks = [np.arange(k, min(k + BLOCK, len(dataset))) for k in range(0, len(dataset), BLOCK)]
        damages: list[Damage] = []
        if isinstance(dataset, Pyramid) and (why := _header_fault(dataset)):
            damages.append(Damage(-1, dataset.path, -1, why))
        pool = ThreadPoolExecutor(workers or len(os.sched_getaffinity(0)))
        try:
            found = pool.map(lambda block: list(_check(dataset, block)), blocks)
            with tqdm(total=len(dataset), unit="img", desc="verify", disable=not progress) as bar:
                for block, damaged in zip(blocks, found, strict=True):
                    damages += damaged
                    bar.update(len(block))
        finally:
            pool.shutdown(cancel_futures=True)
    return damages


def _check(dataset: Dataset, block: np.ndarray) -> Iterator[Damage]:
    """Damages of a run of samples."""
    entries = dataset.entries(block)
    if isinstance(dataset, Pyramid):
        for k in np.flatnonzero(_strangers(dataset, block, entries)):
            index = int(block[k])
            yield Damage(index, dataset.name(index), -1, "FFCV's tables disagree with the index")
    for index, levels in zip(block.tolist(), entries, strict=True):
        for level, entry in enumerate(levels):
            why = _fault(dataset, entry)
            if why:
                yield Damage(index, dataset.name(index), level, why)


def _header_fault(dataset: Pyramid) -> str:
    """What FFCV would stumble over in the header, which this package's own reading does not need; or ""."""
    head = dataset.head
    raw = read_exactly(dataset.fd, len(head.types) * layout.FIELD.itemsize, layout.HEADER.itemsize, dataset.path)
    fields = np.frombuffer(raw, layout.FIELD)
    if head.types != [layout.IMAGE_FIELD, layout.INT_FIELD] or fields["name"].tolist() != [b"image", b"label"]:
        return f"its header names the fields {', '.join(map(repr, head.names))}, a pyramid has 'image' and 'label'"
    if head.page_size & (head.page_size - 1) or not layout.MIN_PAGE <= head.page_size <= layout.MAX_PAGE:
        return f"its header gives pages of {head.page_size} bytes, no power of two from {layout.MIN_PAGE} on"
    if any(head.arguments[0][layout.PRIVATE.itemsize :]) or any(head.arguments[1]):
        return "its header's fields have arguments that a pyramid does not write"
    return ""


def _strangers(dataset: Pyramid, block: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Which samples FFCV would find elsewhere, or with another size or label, than the index has them."""
    head, first, count = dataset.head, int(block[0]), len(block)
    raw = read_exactly(dataset.fd, count * ROW.itemsize, head.rows + first * ROW.itemsize, dataset.path)
    step = layout.ALLOCATION.itemsize
    table = np.frombuffer(
        read_exactly(dataset.fd, count * step, head.table + first * step, dataset.path), layout.ALLOCATION
    )
    full, wanted = entries[:, 0], np.zeros(count, ROW)
    for name, value in (("width", full["width"]), ("height", full["height"]), ("ptr", full["offset"])):
        wanted["f0"][name] = value
    wanted["f1"] = dataset.labels(block)
    unlike = np.frombuffer(raw, np.uint8) != np.frombuffer(wanted.tobytes(), np.uint8)
    return (
        unlike.reshape(count, -1).any(axis=1)
        | (table["sample"] != block)
        | (table["ptr"] != full["offset"])
        | (table["size"] != full["size"])
        | (full["offset"] // head.page_size != (full["offset"] + full["size"] - 1) // head.page_size)
    )


def _fault(dataset: Dataset, entry: np.void) -> str:
    """What is wrong with a record, or ""."""
    rows, size = int(entry["rows"]), int(entry["size"])
    table = table_bytes(rows)
    raw = read_exactly(dataset.fd, table + size, int(entry["offset"]) - table, dataset.path)
    if entry["crc"] and zlib.crc32(raw) != entry["crc"]:
        return "its CRC does not match"
    if table and int.from_bytes(raw[4 * (rows + 1) :][:4], "little") != entry["head"]:
        return "its row table does not start where the JPEG's data do"
    if entry["kind"] == RAW:
        return ""  # opening the beton has compared their number with the image's size
    try:
        pixels = native.decode(raw[table:])
    except native.JpegError as error:
        return str(error)
    height, width = pixels.shape[:2]
    if (width, height) != (entry["width"], entry["height"]):
        return f"it is {width}x{height}, the index says {entry['width']}x{entry['height']}"
    return ""
