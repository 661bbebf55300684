"""`efficienttrain benchmark scale`: what grows with the number of samples, on simulated data sets of any size.

* writer: the cost of the converter's one writing thread, apart from reading and encoding.
* resume: seconds from the start of `convert` to the first image, after it was killed at 90 %.
* set: the last step of a conversion, and opening, first batch and resume of the pyramid.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from loaders.beton import layout
from loaders.beton.fields import LABEL_ONLY
from loaders.beton.tables import Pages
from loaders.conversion.jobs import StoredSource, cut_jobs
from loaders.conversion.journal import Journal
from loaders.conversion.transcode import Converted, Job
from loaders.conversion.writer import Writer
from loaders.sources.source import FileRange, Sample

RATIOS = (1.0, 0.5, 0.25)
SHARES = (1.25, 0.2, 0.07)
"""Bytes of each level's record / bytes of the source: ImageNet's photographs."""
PHOTOGRAPH, THUMBNAIL = 110_000, 2_000
FAIRNESS = (
    "writer: prepared records go through the converter's own writer and journal to the folder of --work; a row says "
    "the bytes of a source image. CPU: of the writing thread, kernel included.",
)


class Simulated:
    """A source of samples that are never read."""

    path, classes, fields = "simulated", [f"n{k:08d}" for k in range(1000)], dict(LABEL_ONLY)

    def __init__(self, images: int, size: int) -> None:
        self._images, self._size = images, size

    def __len__(self) -> int:
        return self._images

    def __getitem__(self, index: int) -> Sample:
        name = f"n{index % 1000:08d}/n{index % 1000:08d}_{index}.JPEG"
        return Sample(name, FileRange(name, self._size), {"label": index % 1000})

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        return map(self.__getitem__, range(start, len(self)))

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{self._images} of {self._size}"


def prepared(count: int, size: int) -> Converted:
    """The result of a job of `count` images of `size` bytes each."""
    sizes = [max(64, int(size * share)) for share in SHARES]
    levels = np.zeros((count, len(RATIOS)), layout.LEVEL)
    for level, each in enumerate(sizes):
        levels["ptr"][:, level] = np.arange(count) * each + 40
        levels["size"][:, level] = each - 40
        levels["width"][:, level], levels["height"][:, level] = 500 >> level, 375 >> level
    blobs = [np.random.default_rng(level).bytes(count * each) for level, each in enumerate(sizes)]
    return Converted(list(range(count)), levels, blobs, [0] * count, [], [size] * count, [], [], [])


def writer(work: str | None, images: int, size: int) -> dict[str, float]:
    """Writes prepared records of images of `size` bytes."""
    source = StoredSource(Simulated(images, size), "shuffled")
    results: dict[int, Converted] = {}
    with tempfile.TemporaryDirectory(dir=work) as name:
        page = layout.page_size_for(images * size, size * 2)
        first = Pages(images, page).first
        with Journal(Path(name, "x.partial"), {}, len(RATIOS), first, False) as journal:
            writer = Writer(journal, source, page, LABEL_ONLY, "raise")
            wall = cpu = 0.0
            for job in cut_jobs(source, 0, Job(0, [], RATIOS, 90)):
                count = len(job.samples)
                if count not in results:
                    results[count] = prepared(count, size)
                made = results[count]
                result = made._replace(levels=made.levels.copy())
                began, used = time.perf_counter(), time.thread_time()
                writer.store(job, result)
                wall, cpu = wall + time.perf_counter() - began, cpu + time.thread_time() - used
    return {"images_s": images / wall, "images_s_cpu": images / cpu, "us_cpu": cpu / images * 1e6}
