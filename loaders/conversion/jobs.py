"""Cuts a source's samples into jobs, in the order in which they are stored, and runs these in threads.

Threads are as fast as processes here, because the kernel works without the GIL. They start at once, return their
bytes without a copy, and the calling script needs no `if __name__ == "__main__":`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from functools import lru_cache
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from ..beton.stored_order import permutation
from ..errors import BadDataset
from ..sources.source import Coming, FileRange, Sample, Source, indexable
from ..sources.zip_files import ZipImage
from ..storage.store import is_url
from .transcode import Converted, Job, convert_job

JOB_FILES, JOB_BYTES = 32, 32 << 20  # a job ends before it would exceed either
ORDERS = ("shuffled", "source")
AHEAD = 2  # jobs in hand per worker: one at work, one waiting; bounds the memory
_BLOCK = 4096  # numbers of the shuffled order that are computed together
_BLOCKS = 16  # that are kept: the writer asks for them again when the samples have been converted


class StoredSource:
    """A source's samples in the order in which they are stored.

    Attributes:
        order: "shuffled" or "source".
        path: of the source.
    """

    def __init__(self, source: Source, order: str | None) -> None:
        """
        Args:
            order: None: shuffled if the source's samples can be read in any order.

        Raises:
            ValueError: an unknown order, or "shuffled" for a source that can only be read from its start.
        """
        if order not in (None, *ORDERS):
            raise ValueError(f'`order` must be "shuffled" or "source", got {order!r}')
        if order == "shuffled" and not indexable(source):
            raise ValueError(
                f'{source.path}: its samples can only be read one after the other, so `order` must be "source", got '
                '"shuffled"; leave it out'
            )
        self.path, self._source = source.path, source
        self.order = order or ("shuffled" if indexable(source) else "source")
        self._permutation = permutation(len(source)) if self.order == "shuffled" else None
        self._block = lru_cache(_BLOCKS)(self._compute)

    def __len__(self) -> int:
        return len(self._source)

    def numbers(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers in the source of the samples at these positions of the stored order, which are near each other."""
        if self._permutation is None or not len(positions):
            return positions
        first, last = int(positions.min()) // _BLOCK, int(positions.max()) // _BLOCK
        return np.concatenate([self._block(k) for k in range(first, last + 1)])[positions - first * _BLOCK]

    def _compute(self, block: int) -> NDArray[np.int64]:
        """Numbers of the samples in a block of the shuffled order."""
        assert self._permutation is not None
        return self._permutation(np.arange(block * _BLOCK, min((block + 1) * _BLOCK, len(self))))

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """All samples from position `start` on."""
        if self._permutation is None:
            yield from self._source.samples(start)
            return
        for block in range(start // _BLOCK, -(-len(self) // _BLOCK)):
            numbers = self._block(block)[max(0, start - block * _BLOCK) :]
            yield from (self._source[k] for k in numbers.tolist())  # type: ignore[index]


def cut_jobs(source: StoredSource, start: int, template: Job) -> Iterator[Job]:
    """The samples from position `start` on, as jobs; the same for any number of workers.

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
    if isinstance(image, FileRange | ZipImage) and is_url(image.path):
        return sample._replace(image=Coming(image))
    return sample


Inbox = SimpleQueue[tuple[Job, "Future[Converted]"] | None]


def run_jobs(jobs: Iterable[Job], workers: int) -> Generator[tuple[Job, Converted], None, None]:
    """Each job with its result, in the order of `jobs`, which are taken as threads become free.

    Raises:
        BadDataset: a source changed meanwhile.
    """
    inbox: Inbox = SimpleQueue()
    for _ in range(workers):
        # A daemon: one that waits for a dead disk must not keep the program from ending.
        threading.Thread(target=_work, args=(inbox,), name="convert", daemon=True).start()
    waiting: deque[tuple[Job, Future[Converted]]] = deque()
    upcoming = iter(jobs)
    try:
        while True:
            for job in upcoming:
                waiting.append((job, Future()))
                inbox.put(waiting[-1])
                if len(waiting) >= AHEAD * workers:
                    break
            if not waiting:
                return
            job, future = waiting.popleft()
            yield job, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
        for _ in range(workers):
            inbox.put(None)


def _work(inbox: Inbox) -> None:
    while (order := inbox.get()) is not None:
        job, future = order
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(convert_job(job))
        except BaseException as error:
            future.set_exception(error)
