"""Reads every record of a beton, compares its CRC, decodes it, and names each damaged record."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from .. import native
from ..beton import layout
from ..beton.fields import LABEL_ONLY, extents, pack_arguments, with_pointers
from ..beton.tables import gather_rows, read_exactly
from ..errors import BadDataset, LoaderError
from ..pillow import decode_rgb
from ..plan.records import RAW, table_bytes
from ..processors import available_processors
from ..progress import progress_bar
from ..sources.dataset import Dataset
from ..sources.open import open_dataset
from ..sources.parts import Parts
from ..sources.pyramid import Pyramid
from ..sources.without import Without

BLOCK = 64  # samples checked by a thread in one go
RUN = 8  # the same if only a share of the samples is checked: damage in one place is then found more surely


class Damage(NamedTuple):
    """One damaged record.

    Attributes:
        sample: its index in the whole data set; -1 for the file's header.
        name: the sample's source name; for the file's header, the file's name.
        level: 0 for full size, -1 for FFCV's tables.
        why: the kind of damage.
    """

    sample: int
    name: str
    level: int
    why: str


def verify(
    path: Any, *, workers: int | None = None, progress: bool = False, sample: float = 1.0, turn: int = 0
) -> list[Damage]:
    """Checks a beton, or all parts of a manifest, from end to end; an empty list means that no damage was found.

    A beton that FFCV wrote has no CRCs: its JPEGs are decoded only, and of raw pixels only the number is checked.

    Args:
        path: a beton; or a glob, a list or a manifest of several.
        workers: threads; None: one per processor.
        progress: show a progress bar on stderr.
        sample: share of the samples to check, above 0 and at most 1: runs of 8 samples, spread evenly over the file.
        turn: which runs. With `sample=0.01`, the turns 0 to 99 together check every sample once.

    Raises:
        ValueError: a wrong `sample` or `turn`.
        BadDataset: it cannot even be opened: not a beton, cut short, or its index is damaged.
    """
    if not 0 < sample <= 1:
        raise ValueError(f"`sample` must be above 0 and at most 1 (100 %), got {sample:g}")
    if turn < 0:
        raise ValueError(f"`turn` must be at least 0, got {turn}")
    with open_dataset(path) as dataset:
        damages: list[Damage] = []
        blocks: list[tuple[Dataset, np.ndarray, np.ndarray]] = []  # a beton, indices in it, places in the data set
        start = 0
        for part in dataset.parts:
            beton = part.inner if isinstance(part, Without) else part
            tables = beton.with_tables()
            tables.check_tables()
            if tables.fd < 0:
                raise BadDataset(f"{part.path}: only betons can be verified, and this is a folder; convert it first")
            if isinstance(tables, Pyramid) and (why := _header_fault(tables)):
                damages.append(Damage(-1, part.path, -1, why))
            for positions in _blocks(len(part), sample, turn):
                indices = part.stored_at(positions)
                inside = part.inside(indices) if isinstance(part, Without) else indices
                blocks.append((beton, inside, start + indices))
            start += len(part)
        pool = ThreadPoolExecutor(workers or available_processors())
        try:
            found = pool.map(lambda task: list(_check(task[0], task[1])), blocks)
            total = sum(len(inside) for _, inside, _ in blocks)
            with progress_bar(progress, total=total, unit="img", desc="verify") as bar:
                for (_, inside, places), damaged in zip(blocks, found, strict=True):
                    place_of = dict(zip(inside.tolist(), places.tolist(), strict=True))
                    damages += [damage._replace(sample=_index(dataset, place_of[damage.sample])) for damage in damaged]
                    bar.update(len(inside))
        finally:
            pool.shutdown(cancel_futures=True)
    return sorted(damages, key=lambda damage: (damage.sample, damage.level))


def _index(dataset: Dataset, place: int) -> int:
    """The index of a sample, given by its place in the parts."""
    return int(dataset.at_places([place])[0]) if isinstance(dataset, Parts) else place


def sampled(count: int, sample: float, turn: int = 0) -> int:
    """How many of `count` samples `verify` checks."""
    return sum(len(block) for block in _blocks(count, sample, turn))


def _blocks(count: int, sample: float, turn: int) -> list[np.ndarray]:
    """Runs of neighbours in storage to be checked: their positions, in order."""
    step = int(1 / sample + 1e-9)
    size = BLOCK if step == 1 else RUN
    first = turn % step % max(1, -(-count // size))  # at least one run, even of a small file
    return [np.arange(k, min(k + size, count)) for k in range(first * size, count, step * size)]


def _check(part: Dataset, block: np.ndarray) -> Iterator[Damage]:
    """Damages of some samples that lie next to each other; `block` are their indices."""
    dataset = part.with_tables()
    entries = dataset.entries(block)
    if isinstance(dataset, Pyramid):
        for k in np.flatnonzero(_strangers(dataset, block, entries)):
            index = int(block[k])
            yield Damage(index, dataset.name(index), -1, "FFCV's tables disagree with the index")
        with part.with_values(block):
            damaged = dict(dataset.damaged_values(block))
            sound = np.array([index not in damaged for index in block.tolist()])
            damaged |= _wrong_originals(dataset, block[sound], entries[sound])
        for index, why in damaged.items():
            yield Damage(index, dataset.name(index), -1, why)
    stored = entries[entries["width"] > 0]  # some levels were left out by the converter
    starts, ends = stored["offset"] - table_bytes(stored["rows"].astype(np.int64)), stored["offset"] + stored["size"]
    read = part.reader(starts, ends)
    for index, levels in zip(block.tolist(), entries, strict=True):
        for level, entry in enumerate(levels):
            if level and not entry["width"]:
                continue
            why = _fault(read, entry)
            if why:
                yield Damage(index, dataset.name(index), level, why)


def _wrong_originals(dataset: Pyramid, block: np.ndarray, entries: np.ndarray) -> Iterator[tuple[int, str]]:
    """Kept original files that cannot be decoded, or are of another size than level 0: sample index, and why."""
    if dataset.originals is None:
        return
    originals = dataset.read_field(dataset.originals, block)
    for index, data, full in zip(block.tolist(), originals, entries[:, 0], strict=True):
        try:
            height, width = decode_rgb(data).pixels.shape[:2] if data else (full["height"], full["width"])
        except LoaderError as error:
            yield index, f"its original file cannot be decoded: {error}"
            continue
        if (width, height) != (full["width"], full["height"]):
            yield index, f"its original file is {width}x{height}, level 0 {full['width']}x{full['height']}"


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
    head, count, pointed = dataset.head, len(block), with_pointers(dataset.fields)

    raw = gather_rows(dataset.file.read, np.dtype((np.void, head.row.itemsize)), head.rows, block)  # with all padding
    table = gather_rows(dataset.file.read, np.dtype((layout.ALLOCATION, 1 + len(pointed))), head.table, block)
    full, rows = entries[:, 0], raw.view(head.row)
    wanted = np.zeros(count, head.row)
    for k in range(1, len(head.types)):
        wanted[f"f{k}"] = rows[f"f{k}"]  # a CRC protects them, and only they state them
    for name, value in (("width", full["width"]), ("height", full["height"]), ("ptr", full["offset"])):
        wanted["f0"][name] = value
    if dataset.label_field is not None:
        wanted[f"f{1 + list(dataset.fields).index(dataset.label_field)}"] = dataset.labels(block)
    unlike = np.frombuffer(raw.tobytes(), np.uint8) != np.frombuffer(wanted.tobytes(), np.uint8)
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


def _fault(read: Callable[[int, int], bytes], entry: np.void) -> str:
    """The damage of a record, or "". read: see `Dataset.reader`."""
    rows, size = int(entry["rows"]), int(entry["size"])
    table = table_bytes(rows)
    raw = read(int(entry["offset"]) - int(table), int(entry["offset"]) + size)
    if entry["crc"] and zlib.crc32(raw) != entry["crc"]:
        return "its CRC does not match"
    if table and int.from_bytes(raw[4 * (rows + 1) :][:4], "little") != entry["head"]:
        return "its row table does not start at the JPEG's data"
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
