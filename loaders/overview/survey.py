"""Measures a data set for its overview: all labels, and the files of samples spread evenly over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import native
from ..backends.base import BackendOptions
from ..backends.decoder import Decoder
from ..errors import LoaderError
from ..jpeg_segments import segments
from ..pillow import header
from ..plan.records import RAW
from ..processors import available_processors
from ..sources.dataset import Dataset
from ..sources.open import open_dataset
from ..sources.pyramid import Pyramid
from ..sources.source_dataset import SourceDataset
from ..transforms.pipeline import OutputFormat

_LABELS = 2_000_000  # samples whose labels are all counted
_BLOCK = 1 << 16  # labels read at a time
# T.81 annex K.1, the luminance table whose multiples libjpeg calls qualities.
_LUMA = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


class Level(NamedTuple):
    """One stored size, over the samples that were looked at.

    Attributes:
        ratio: side of the level / side of level 0.
        stored: share of the samples that have it.
        width, height: mean pixels.
        bytes: mean size; 0 if unknown (files of a folder that were not read).
    """

    ratio: float
    stored: float
    width: float
    height: float
    bytes: float


class View(NamedTuple):
    """The loader's batches in training at one resolution.

    Attributes:
        resolution: side, pixels.
        bytes_read: mean bytes that the loader read for a sample.
        images: JPEG files of the samples shown.
    """

    resolution: int
    bytes_read: float
    images: list[bytes]


@dataclass
class Survey:
    """Facts about a data set. "Seen" are the samples that were looked at.

    Attributes:
        path, kind, fields, classes: of the data set; fields by name with their types.
        samples: in the whole data set.
        file_bytes: of its files; None for a folder or a source.
        counts: samples of each class, int64 [classes], among `counted` samples; None without class labels.
        seen: their number.
        sides: width and height of each, pixels, int64 [seen, 2].
        bytes: of level 0 of each, int64 [seen].
        formats: JPEG, PNG, ..., raw pixels -> number of seen samples.
        samplings: chroma sub-sampling of the JPEGs -> number.
        qualities: JPEG quality of each seen JPEG, about, by its luminance table.
        levels: the stored sizes.
        remarks: "changed", "refused", "notes" of the conversion -> (number, the first of them as (name, reason)).
        problems: (name, reason) of seen samples that cannot be decoded.
        views: training views of the samples in `shown`.
        shown: names and class of the samples shown.
    """

    path: str
    kind: str
    samples: int
    classes: list[str]
    fields: dict[str, str]
    file_bytes: int | None
    counts: NDArray[np.int64] | None = None
    counted: int = 0
    seen: int = 0
    sides: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    bytes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    formats: Counter[str] = field(default_factory=Counter)
    samplings: Counter[str] = field(default_factory=Counter)
    qualities: list[int] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    remarks: dict[str, tuple[int, list[tuple[str, str]]]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)


def survey(
    data: Any,
    *,
    resolutions: Sequence[int] = (96, 160, 224),
    seen: int = 1000,
    viewed: int = 128,
    shown: int = 12,
    seed: int = 0,
    num_workers: int | None = None,
) -> Survey:
    """Measures a data set in bounded time: 2,000,000 labels, `seen` files, and `viewed` samples at each resolution.

    Args:
        data: anything that `Loader` reads.
        resolutions: sides of the training views, 16 to 1024 pixels.
        seen: samples whose files are read, at least 1.
        viewed: of these, samples that the loader decodes.
        shown: of these, samples whose views are kept.
        seed: of the views' crops.
        num_workers: decoding threads; None: one per processor.

    Raises:
        FileNotFoundError, ValueError, BadDataset: see `Loader`.
    """
    if seen < 1 or viewed < 1 or shown < 1:
        raise ValueError(f"`seen`, `viewed` and `shown` must be at least 1, got {seen}, {viewed} and {shown}")
    with open_dataset(data) as dataset:
        found = Survey(
            dataset.path,
            dataset.kind,
            len(dataset),
            list(dataset.classes),
            {name: str(kind) for name, kind in dataset.fields.items()},
            dataset.file_bytes,
        )
        _count_labels(dataset, found)
        _look(dataset, spread(len(dataset), seen), found)
        for part in dataset.parts:
            _add_remarks(part, found)
        chosen = spread(len(dataset), viewed)
        kept = spread(len(chosen), shown)
        for index in chosen[kept].tolist():
            label = int(dataset.labels([index])[0])
            name = dataset.classes[label] if 0 <= label < len(dataset.classes) else ""
            found.shown.append((dataset.name(index), name))
        for resolution in resolutions:
            found.views.append(_view(dataset, chosen, kept, resolution, seed, num_workers, found))
    return found


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """At most `wanted` positions of `count`, evenly apart."""
    wanted = min(count, wanted)
    return np.arange(wanted, dtype=np.int64) * count // max(wanted, 1)


def _count_labels(dataset: Dataset, found: Survey) -> None:
    """Counts labels: all of a beton or folder up to `_LABELS`; of a source, whose samples must be read, few."""
    if dataset.label_field is None or not dataset.classes:
        return
    most = 1000 if isinstance(dataset, SourceDataset) else _LABELS
    found.counts, found.counted = np.zeros(len(dataset.classes), np.int64), min(len(dataset), most)
    chosen = spread(len(dataset), most)
    for start in range(0, len(chosen), _BLOCK):
        labels = dataset.labels(chosen[start : start + _BLOCK])
        found.counts += np.bincount(labels[labels >= 0], minlength=len(found.counts))


def _look(dataset: Dataset, chosen: NDArray[np.int64], found: Survey) -> None:
    """Reads the images of these samples, a few at a time, and adds the facts of their headers."""
    levels = len(dataset.ratios)
    stored, pixels, weight = np.zeros(levels), np.zeros((levels, 2)), np.zeros(levels)
    sides, sizes = [], []
    for start in range(0, len(chosen), 16):
        some = chosen[start : start + 16]
        lease = dataset.lease(some)
        entries = dataset.entries(some)
        for index, entry in zip(some.tolist(), entries, strict=True):
            there = entry["width"] > 0
            stored += there
            pixels += np.stack([entry["width"] * there, entry["height"] * there], axis=1)
            weight += entry["size"].astype(np.float64)
            size = _look_at(dataset, index, entry[0], found)
            if size is not None:
                sides.append((int(entry[0]["width"]), int(entry[0]["height"])))
                sizes.append(size)
        del lease
    found.seen = len(chosen)
    found.sides, found.bytes = np.array(sides, np.int64).reshape(-1, 2), np.array(sizes, np.int64)
    width, height = pixels.T / np.maximum(stored, 1)
    weight /= np.maximum(stored, 1)
    shares = stored / len(chosen)
    columns = (column.tolist() for column in (shares, width, height, weight))
    found.levels = [Level(*facts) for facts in zip(dataset.ratios, *columns, strict=True)]


def _look_at(dataset: Dataset, index: int, entry: NDArray[np.void], found: Survey) -> int | None:
    """Adds the format of one image; its bytes, or None if it is no image."""
    try:
        data = dataset.read_original(index)
    except LoaderError as error:
        found.problems.append((dataset.name(index), str(error)))
        return None
    if entry["kind"] == RAW and not isinstance(dataset, SourceDataset):
        found.formats["raw pixels"] += 1
        return len(data)
    try:
        info = native.peek(data)
    except native.JpegError as error:
        try:
            found.formats[header(BytesIO(data)).kind] += 1
        except LoaderError:
            found.problems.append((dataset.name(index), str(error)))
            return None
        return len(data)
    found.formats["JPEG, progressive" if info.progressive else "JPEG"] += 1
    found.samplings[info.sampling] += 1
    if (quality := jpeg_quality(data)) is not None:
        found.qualities.append(quality)
    return len(data)


@cache
def _luma_sums() -> NDArray[np.int64]:
    """Sums of libjpeg's luminance tables of qualities 1 to 100."""
    quality = np.arange(1, 101)[:, None]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_LUMA * percent + 50) // 100, 1, 255).sum(axis=1)


def jpeg_quality(data: bytes) -> int | None:
    """The quality, 1 to 100, at which libjpeg's luminance table has the sum nearest to this JPEG's; None without one.

    Other programs have tables of their own, for which the number is only an orientation.
    """
    for marker, start, end in segments(data):
        if marker == 0xDB and end - start >= 65 and data[start] & 15 == 0:
            wide = data[start] >> 4 == 1
            table = np.frombuffer(data[start + 1 : start + (129 if wide else 65)], ">u2" if wide else "u1")
            return int(np.abs(_luma_sums() - table.sum(dtype=np.int64)).argmin()) + 1
    return None


def _add_remarks(part: Dataset, found: Survey) -> None:
    """Adds the converter's remarks from a pyramid."""
    remarks: dict[str, Any] = part.meta.get("remarks", {}) if isinstance(part, Pyramid) else {}
    for kind, noted in remarks.items():
        count, first = found.remarks.get(kind, (0, []))
        found.remarks[kind] = (count + noted["count"], [*first, *map(tuple, noted["first"])])


def _view(
    dataset: Dataset,
    chosen: NDArray[np.int64],
    kept: NDArray[np.int64],
    resolution: int,
    seed: int,
    num_workers: int | None,
    found: Survey,
) -> View:
    """Decodes the training views of these samples; keeps those at the positions `kept`."""
    format, images, stayed = OutputFormat.pixels(resolution), {}, set(kept.tolist())
    workers = num_workers or available_processors()
    options = BackendOptions(train=True, seed=seed, num_workers=workers, on_error="replace", filter="bicubic")
    decoder = Decoder(dataset, options)
    try:
        batches = [chosen[start : start + 16] for start in range(0, len(chosen), 16)]
        for number, plan in enumerate(decoder.plans(format, 0, batches)):
            out = np.zeros((len(plan.keys), 3, resolution, resolution), np.uint8)
            pending = decoder.submit(plan, out)
            pending.wait()
            decoder.repair(plan, pending.status, pending.message, out)
            for row in range(len(out)):
                if (position := 16 * number + row) in stayed:
                    images[position] = native.encode(np.ascontiguousarray(out[row].transpose(1, 2, 0)), 90)
        known = dict(found.problems)
        found.problems += [(bad.name, bad.why) for bad in decoder.bad.values() if bad.name not in known]
        read = decoder.stats()["bytes_read"] / len(chosen)
    finally:
        decoder.close()
    return View(resolution, read, [images[position] for position in kept.tolist()])
