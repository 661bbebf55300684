"""Cuts a source's samples into jobs."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import BadDataset
from ..sources.source import Coming, FileRange, Sample, Source
from ..storage.store import is_url
from .transcode import Job

JOB_FILES, JOB_BYTES = 32, 32 << 20  # a job ends before it would exceed either


def cut_jobs(source: Source, start: int, template: Job) -> Iterator[Job]:
    """The source's samples from number `start` on, as jobs; the same for any number of workers.

    Args:
        template: the settings common to all jobs.

    Raises:
        BadDataset: the source yields another number of samples than its length.
    """
    batch: list[Sample] = []
    total, position, count = 0, start, len(source)
    for sample in source.samples(start):
        size = len(sample.image) if isinstance(sample.image, bytes) else sample.image.size
        if len(batch) == JOB_FILES or (batch and total + size > JOB_BYTES):
            yield template._replace(start=position, samples=batch)
            position, total, batch = position + len(batch), 0, []
        batch.append(sample)
        total += size
        if position + len(batch) > count:
            raise BadDataset(f"{source.path}: yields more samples than its length, {count}; its length must be exact")
    if position + len(batch) < count:
        raise BadDataset(f"{source.path}: yields {position + len(batch)} samples, its length is {count}")
    if batch:
        yield template._replace(start=position, samples=batch)


def read_ahead(jobs: Iterator[Job]) -> Iterator[Job]:
    """The same jobs. Remote images of each are requested when it is taken, all at a time."""
    for job in jobs:
        yield job._replace(samples=[_requested(sample) for sample in job.samples])


def _requested(sample: Sample) -> Sample:
    image = sample.image
    return sample._replace(image=Coming(image)) if isinstance(image, FileRange) and is_url(image.path) else sample
