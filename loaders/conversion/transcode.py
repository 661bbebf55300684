"""From a source file to the records of its pyramid; runs in the converter's threads."""

from __future__ import annotations

import io
import os
import zlib
from typing import NamedTuple

import numpy as np

from .. import native
from ..beton import layout
from ..errors import BadDataset
from ..sources.regular_file import open_regular

FULL_QUALITY = 95
"""JPEG quality of level 0 where the source is no JPEG that can be carried over losslessly."""


class Job(NamedTuple):
    """A run of sources that is converted, written and journaled as one.

    Attributes:
        root: the source folder.
        start: position of the first file among all sources.
        names: paths relative to it.
        sizes: bytes of each file when the folder was listed.
        ratios: side of each level / side of level 0, 1.0 first.
        quality: JPEG quality of the reduced levels.
        page_size: bytes that a record of level 0 may have.
    """

    root: str
    start: int
    names: list[str]
    sizes: list[int]
    ratios: tuple[float, ...]
    quality: int
    page_size: int


class Converted(NamedTuple):
    """What became of a job.

    Attributes:
        kept: positions in the job of the files that have records.
        levels: LEVEL rows [kept, levels]; `ptr` counts from the start of that level's blob.
        blobs: for each level its records, one after the other.
        changed: (position, why) where level 0 does not hold the source's own pixels.
        refused: (position, why) where there are no records.
        notes: (position, what) where something odd was accepted without losing a pixel.
    """

    kept: list[int]
    levels: np.ndarray
    blobs: list[bytes]
    changed: list[tuple[int, str]]
    refused: list[tuple[int, str]]
    notes: list[tuple[int, str]]


class Refused(Exception):
    """A source that cannot be decoded, and why."""


def convert_job(job: Job) -> Converted:
    """Reads and transcodes the files of a job.

    Raises:
        BadDataset: a file changed its size since the folder was listed.
    """
    parts: list[list[bytes]] = [[] for _ in job.ratios]
    ends = [0] * len(job.ratios)
    levels = np.zeros((len(job.names), len(job.ratios)), layout.LEVEL)
    done = Converted([], levels, [], [], [], [])
    for position, (name, size) in enumerate(zip(job.names, job.sizes, strict=True)):
        try:
            data = read_file(os.path.join(job.root, name), size)
            records, why = records_of(data, job.ratios, job.quality)
            need = len(records[0].jpeg) + len(records[0].table)
            if need > job.page_size:
                raise Refused(f"{need} bytes do not fit a page of {job.page_size}; give a larger page size")
        except Refused as refused:
            done.refused.append((position, str(refused)))
            continue
        if why:
            done.changed.append((position, why))
        elif records[0].note:
            done.notes.append((position, records[0].note))
        for level, record in enumerate(records):
            levels[len(done.kept), level] = (
                ends[level] + len(record.table),
                len(record.jpeg),
                zlib.crc32(record.jpeg, zlib.crc32(record.table)),
                record.head,
                record.rows,
                record.width,
                record.height,
            )
            parts[level] += [record.table, record.jpeg]
            ends[level] += len(record.table) + len(record.jpeg)
        done.kept.append(position)
    return done._replace(levels=levels[: len(done.kept)], blobs=[b"".join(part) for part in parts])


def read_file(path: str, size: int) -> bytes:
    """The bytes of a file that had `size` of them when the folder was listed.

    Raises:
        Refused: the operating system does not let it be read.
        BadDataset: it has another size now.
    """
    try:
        with open_regular(path) as file:
            data = file.read(size + 1)
    except OSError as error:
        raise Refused(error.strerror or str(error)) from None
    if len(data) != size:
        raise BadDataset(f"{path}: changed while it was converted; run again with --restart")
    return data


def records_of(data: bytes, ratios: tuple[float, ...], quality: int) -> tuple[list[native.Record], str]:
    """The records of one source, and why level 0 is not its own JPEG, or "".

    A JPEG that is grey or YCbCr keeps every coefficient. Anything else that Pillow opens becomes RGB as
    torchvision's default loader makes it (EXIF orientation ignored) and a JPEG of quality 95, 4:4:4.

    Raises:
        Refused: damaged, cut short, or no image.
    """
    try:
        return native.transcode(data, ratios, quality), ""
    except native.JpegError as error:
        if error.status != native.UNSUPPORTED:
            raise Refused(str(error)) from None
    pixels, kind = pillow_rgb(data)
    try:
        return native.transcode(native.encode(pixels, FULL_QUALITY), ratios, quality), kind
    except native.JpegError as error:
        raise Refused(str(error)) from None


def pillow_rgb(data: bytes) -> tuple[np.ndarray, str]:
    """Pixels [height, width, 3] uint8 as torchvision's default loader gives them, and what the file was.

    Raises:
        Refused: Pillow cannot decode it.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            kind = f"{image.format} of mode {image.mode}, stored as RGB at quality {FULL_QUALITY}"
            return np.asarray(image.convert("RGB")), kind
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        why = "no image that Pillow knows" if type(error).__name__ == "UnidentifiedImageError" else str(error)
        raise Refused(why) from None
