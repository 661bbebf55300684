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
from ..beton.fields import LABEL_ONLY, extents, pack_arguments, with_pointers
from ..beton.tables import read_exactly
from ..errors import BadDataset
from ..plan.records import RAW, table_bytes
from ..processors import available_processors
from ..sources.dataset import Dataset
from ..sources.open import open_dataset
from ..sources.pyramid import Pyramid

BLOCK = 64  # samples checked by a thread in one go


class Damage(NamedTuple):
    """One damaged record.

    Attributes:
        sample: its index; -1 for the file's header.
        name: the sample's source name; for the file's header, the file's name.
        level: 0 for full size, -1 for FFCV's tables.
        why: the kind of damage.
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
        pool = ThreadPoolExecutor(workers or available_processors())
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
        for index, why in dataset.damaged_values(block):
            yield Damage(index, dataset.name(index), -1, why)
    for index, levels in zip(block.tolist(), entries, strict=True):
        for level, entry in enumerate(levels):
            if level and not entry["width"]:
                continue  # left out by the converter
            why = _fault(dataset, entry)
            if why:
                yield Damage(index, dataset.name(index), level, why)


def _header_fault(dataset: Pyramid) -> str:
    """A fault in the header that FFCV's reader would meet, though ours does not; or ""."""
    head = dataset.head
    raw = read_exactly(dataset.fd, len(head.types) * layout.FIELD.itemsize, layout.HEADER.itemsize, dataset.path)
    fields = np.frombuffer(raw, layout.FIELD)
    names = [b"image", *(name.encode("ascii", "replace") for name in dataset.fields)]
    codes = [layout.IMAGE_FIELD, *(kind.code for kind in dataset.fields.values())]
    if head.types != codes or fields["name"].tolist() != names:
        wanted = " and ".join(repr(name.decode()) for name in names)
        return f"its header names the fields {', '.join(map(repr, head.names))}, a pyramid has {wanted}"
    if head.page_size & (head.page_size - 1) or not layout.MIN_PAGE <= head.page_size <= layout.MAX_PAGE:
        return f"its header gives pages of {head.page_size} bytes, no power of two from {layout.MIN_PAGE} on"
    private = layout.PRIVATE if dataset.fields == LABEL_ONLY else layout.PRIVATE_FIELDS
    packed = [pack_arguments(kind) for kind in dataset.fields.values()]
    if any(head.arguments[0][private.itemsize :]) or head.arguments[1:] != packed:
        return "its header's fields have arguments that a pyramid does not write"
    return ""


def _strangers(dataset: Pyramid, block: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Samples that FFCV would find elsewhere, or with another size or label, than the index states: bool [n]."""
    head, first, count = dataset.head, int(block[0]), len(block)
    raw = read_exactly(dataset.fd, count * head.row.itemsize, head.rows + first * head.row.itemsize, dataset.path)
    pointed = with_pointers(dataset.fields)
    step = layout.ALLOCATION.itemsize * (1 + len(pointed))
    table = np.frombuffer(
        read_exactly(dataset.fd, count * step, head.table + first * step, dataset.path), layout.ALLOCATION
    ).reshape(count, -1)
    full, rows = entries[:, 0], np.frombuffer(raw, head.row)
    wanted = np.zeros(count, head.row)
    for k in range(1, len(head.types)):
        wanted[f"f{k}"] = rows[f"f{k}"]  # a CRC protects them, and only they state them
    for name, value in (("width", full["width"]), ("height", full["height"]), ("ptr", full["offset"])):
        wanted["f0"][name] = value
    if dataset.label_field is not None:
        wanted[f"f{1 + list(dataset.fields).index(dataset.label_field)}"] = dataset.labels(block)
    unlike = np.frombuffer(raw, np.uint8) != np.frombuffer(wanted.tobytes(), np.uint8)
    strange = (
        unlike.reshape(count, -1).any(axis=1)
        | (table["sample"] != block[:, None]).any(axis=1)
        | (table["ptr"][:, 0] != full["offset"])
        | (table["size"][:, 0] != full["size"])
    )
    for k, name in enumerate(pointed, 1):
        pointers, sizes = extents(dataset.fields[name], rows[f"f{1 + list(dataset.fields).index(name)}"])
        strange |= (table["ptr"][:, k] != pointers) | (table["size"][:, k] != sizes)
    last = table["ptr"] + np.maximum(table["size"], 1) - 1
    return strange | (table["ptr"] // head.page_size != last // head.page_size).any(axis=1)


def _fault(dataset: Dataset, entry: np.void) -> str:
    """The damage of a record, or ""."""
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
