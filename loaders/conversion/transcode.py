"""Turns one image into the records of its pyramid; runs in the converter's threads."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .. import native
from ..beton import layout
from ..beton.fields import ORIGINAL, Encoded, FieldType, encode, row_dtype, with_pointers
from ..errors import BadDataset, LoaderError, reason
from ..jpeg_segments import orientation
from ..pillow import decode_rgb
from ..sources.labels import Labels, Refused
from ..sources.source import Sample
from ..spatial_targets import decode_mask
from .levels import fitting, qualities
from .settings import Settings
from .stored_samples import StoredImage

FULL_QUALITY = 95
"""JPEG quality of level 0 if the source is no JPEG that can be carried over losslessly."""
TURNED = "EXIF orientation"
"""Begins the remark on an image that is stored as its file has the pixels, not as its camera was held."""


class Job(NamedTuple):
    """A run of samples that is converted, written and journaled as one.

    Attributes:
        start: position of the first sample in the source.
        samples: the samples.
        ratios: side of each level / side of level 0, 1.0 first.
        settings: the conversion's; its own `ratios`, `fields` and `classes` are as they were given.
        labels: turns labels into positions in the list of classes; None: the samples have none.
        types: the fields to store beside the image and the label; None: no others.
    """

    start: int
    samples: list[Sample]
    ratios: tuple[float, ...]
    settings: Settings = Settings()
    labels: Labels | None = None
    types: dict[str, FieldType] | None = None


@dataclass(eq=False, kw_only=True)
class Converted:
    """The result of a job.

    Attributes:
        kept: positions in the job of the samples that have records.
        levels: LEVEL rows [kept, levels]; `ptr` counts from the start of that level's blob. A level that was left out
            has size, width and height 0.
        blobs: for each level its records, one after the other.
        labels: label of each record, -1 if there is none.
        fields: the stored fields of each record, if the job has `types`.
        sizes: bytes of each record's source image.
        changed: (position, why) of each record whose level 0 does not hold the source's own pixels.
        refused: (position, why) of each sample without records.
        notes: (position, remark) of each odd sample that lost no pixel.
        originals: position of each record whose original file is kept.
    """

    kept: list[int] = field(default_factory=list)
    levels: np.ndarray
    blobs: list[bytes]
    labels: list[int] = field(default_factory=list)
    fields: list[Encoded] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    changed: list[tuple[int, str]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    originals: list[int] = field(default_factory=list)


class _Levels:
    """The records of a job's samples, level by level."""

    def __init__(self, samples: int, levels: int) -> None:
        self._rows, self._count = np.zeros((samples, levels), layout.LEVEL), 0
        self._parts: list[list[bytes]] = [[] for _ in range(levels)]
        self._ends = [0] * levels

    @property
    def rows(self) -> np.ndarray:
        """See `Converted.levels`."""
        return self._rows[: self._count]

    @property
    def blobs(self) -> list[bytes]:
        """See `Converted.blobs`."""
        return [b"".join(parts) for parts in self._parts]

    def add(self, records: list[native.Record], fits: list[bool]) -> None:
        """Adds the records of a sample. fits: False for a level that is left out."""
        row = self._rows[self._count]
        self._count += 1
        for level, (record, fit) in enumerate(zip(records, fits, strict=True)):
            if not fit:
                row["ptr"][level] = self._ends[level]
                continue
            row[level] = (
                self._ends[level] + len(record.table),
                len(record.jpeg),
                zlib.crc32(record.jpeg, zlib.crc32(record.table)),
                record.head,
                record.rows,
                record.width,
                record.height,
            )
            self._parts[level] += [record.table, record.jpeg]
            self._ends[level] += len(record.table) + len(record.jpeg)


def convert_job(job: Job) -> Converted:
    """Reads and transcodes the samples of a job.

    Raises:
        BadDataset: a file has another size than when the source was listed.
    """
    stored = _Levels(len(job.samples), len(job.ratios))
    row = None if job.types is None else row_dtype(job.types)
    done = Converted(levels=stored.rows, blobs=[])
    for position, sample in enumerate(job.samples):
        try:
            label, values = _targets(sample, job)
            records, why, size, original = _records(sample, job)
            if job.settings.keep_codec:
                values = {**values, ORIGINAL: original}
            fields = None if row is None else _fields(values, job, row)
            if fields is not None:
                _check_masks(job, fields, records[0])
            need = len(records[0].jpeg) + len(records[0].table)
            if need > layout.MAX_PAGE:
                raise Refused(f"{need} bytes do not fit the largest page of {layout.MAX_PAGE}; shrink that image")
        except Refused as refused:
            done.refused.append((position, str(refused)))
            continue
        if original:
            done.originals.append(position)
        elif why:
            done.changed.append((position, why))
        elif records[0].note:
            done.notes.append((position, records[0].note))
        copied = isinstance(sample.image, StoredImage)  # a level that was left out has no bytes
        stored.add(records, [True] * len(records) if copied else fitting(records, job.settings.overhead))
        done.kept.append(position)
        done.labels.append(label)
        done.sizes.append(size)
        if fields is not None:
            done.fields.append(fields)
    done.levels, done.blobs = stored.rows, stored.blobs
    return done


def _records(sample: Sample, job: Job) -> tuple[list[native.Record], str, int, bytes]:
    """The records of a sample, why they do not hold its own JPEG data, or "", the size of its image file in bytes, and
    the file itself if it shall be kept, or b"".

    Raises:
        Refused, BadDataset: see `StoredImage.records`, `read_image` and `records_of`.
    """
    if isinstance(sample.image, StoredImage):
        return sample.image.records(), "", sample.image.size, b""
    data, depth = read_image(sample), job.settings.depth
    records, why = records_of(data, job.ratios, job.settings.quality, depth)
    # A deeper image is read as the 8 bits that `depth` makes, which its file does not hold.
    kept = job.settings.keep_codec and why and (depth == "refuse" or decode_rgb(data, depth).exact)
    return records, why, len(data), data if kept else b""


def _targets(sample: Sample, job: Job) -> tuple[int, Mapping[str, Any]]:
    """Label of a sample, -1 if it has none, and its values.

    Raises:
        Refused: the label is missing or unknown, or the source could not make the sample.
    """
    if sample.problem:
        raise Refused(sample.problem)
    values, label = sample.values, -1
    if job.labels is not None:
        if "label" not in values:
            raise Refused(f"has no label; its fields are {', '.join(values) or 'none'}")
        label = job.labels(values["label"])
        values = {**values, "label": label}
    return label, values


def _fields(values: Mapping[str, Any], job: Job, row: np.dtype[Any]) -> Encoded:
    """The stored fields of a sample.

    Raises:
        Refused: a value is missing or does not fit its field.
    """
    try:
        return encode(job.types or {}, values, row)
    except ValueError as error:
        raise Refused(str(error)) from None


def _check_masks(job: Job, fields: Encoded, record: native.Record) -> None:
    """Whether every mask can be decoded and is as large as its image.

    Raises:
        Refused: it is not.
    """
    for name, blob in zip(with_pointers(job.types or {}), fields.blobs, strict=True):
        if job.types is None or job.types[name].kind != "mask":
            continue
        try:
            height, width = decode_mask(blob).shape
        except LoaderError as error:
            raise Refused(f"field `{name}`: {error}") from None
        if (width, height) != (record.width, record.height):
            size = f"{record.width}x{record.height}"
            raise Refused(f"its mask `{name}` is {width}x{height}, its image {size}; they must be of one size")


def read_image(sample: Sample) -> bytes:
    """The encoded image of a sample.

    Raises:
        Refused: the operating system does not let its file be read.
        BadDataset: its file has another size than when the source was listed.
    """
    image = sample.image
    if isinstance(image, bytes):
        return image
    try:
        data = image.read()
    except OSError as error:
        raise Refused(reason(error)) from None
    if len(data) != image.size:
        raise BadDataset(f"{image.path}: changed while it was converted; run again with --restart")
    return data


def records_of(
    data: bytes, ratios: tuple[float, ...], quality: int, depth: str = "refuse"
) -> tuple[list[native.Record], str]:
    """The records of one source, and why level 0 does not hold the source's own JPEG data, or "".

    A JPEG that is grey, YCbCr or RGB keeps every coefficient. Other files that Pillow opens, and a JPEG whose scans
    are incomplete, becomes RGB as torchvision's default loader makes it (EXIF orientation ignored) and then a JPEG of
    quality 95, 4:4:4.

    Args:
        data: the source file.
        ratios: as `native.transcode` takes them.
        quality: see `levels.qualities`.
        depth: treatment of more than 8 bits a sample, see `pillow.decode_rgb`.

    Raises:
        Refused: the source is damaged, cut short, no image, or of a kind that `depth` does not allow.
    """
    levels = qualities(ratios, quality)
    turned = orientation(data)
    remark = "" if turned == 1 else f"{TURNED} {turned} is ignored"
    try:
        records = native.transcode(data, ratios, levels)
        records[0] = records[0]._replace(note="; ".join(filter(None, (records[0].note, remark))))
        return records, ""
    except native.JpegError as error:
        if error.status != native.UNSUPPORTED:
            raise Refused(str(error)) from None
        reason = f" ({error})" if data.startswith(b"\xff\xd8") else ""
    try:
        pixels, kind, _ = decode_rgb(data, depth)
        records = native.transcode(native.encode(pixels, FULL_QUALITY), ratios, levels)
    except LoaderError as error:
        raise Refused(str(error)) from None
    return records, "; ".join(filter(None, (f"{kind}{reason}, stored as RGB at quality {FULL_QUALITY}", remark)))
