"""Common parts of the backends: planning, decoding by the kernel's threads, and replacing bad samples."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice, pairwise
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from .. import native
from ..batch import BatchPlan
from ..errors import BadSample, LoaderError, TooManyOpenFiles
from ..plan import plan_batch, replacements
from ..plan.filters import Filter, FilterName, build, interpolation
from ..plan.records import OTHER
from ..plan.rng import copy_numbers, draw_keys, sample_indices
from ..sources import Dataset
from ..transforms.pipeline import OutputFormat
from .base import BackendOptions, PendingBatch
from .pillow_threads import PartlyPillow, PillowJob, PillowThreads, StoredFile, decode_with_pillow

PLANNED = 1024
"""Samples planned together, unless a batch has more: most of NumPy's cost is per call, not per sample."""
_EXPECTED = 2
"""Groups of batches that a data set reads before they are planned, if planning needs the samples themselves."""
_MOST_FETCHES, _FETCHED = 4, 256 << 20
"""Most groups of batches that are fetched at a time, and most bytes of all these groups except the last."""


class Plans:
    """An iterator over planned batches. It returns a batch when the bytes of its samples have arrived."""

    def __init__(self, coming: Iterator[BatchPlan], wait: Callable[[BatchPlan], None]) -> None:
        self._coming, self._wait = coming, wait
        self._next: BatchPlan | None = None

    def here(self) -> bool:
        """Whether the next batch can be returned without waiting for its bytes. True if there is no next batch."""
        if self._next is None:
            self._next = next(self._coming, None)
        return self._next is None or self._next.fetch is None or self._next.fetch.done()

    def __iter__(self) -> Plans:
        return self

    def __next__(self) -> BatchPlan:
        plan = self._next or next(self._coming)
        self._next = None
        self._wait(plan)
        return plan


class _Group(NamedTuple):
    """Batches that are planned as one."""

    batches: list[NDArray[np.int64]]
    plan: BatchPlan

    def plans(self) -> Iterator[BatchPlan]:
        """The plan of each batch."""
        end = 0
        for batch in self.batches:
            yield self.plan.rows(slice(end, end := end + len(batch)))


class Decoder:
    """Plans samples of one data set and decodes them.

    Attributes:
        pool: the kernel's threads.
        bad: samples that could not be decoded, by index.
    """

    def __init__(self, dataset: Dataset, options: BackendOptions) -> None:
        self.pool = native.Pool(options.num_workers)
        self._pillow = PillowThreads(options.num_workers)
        self.bad: dict[int, BadSample] = {}
        self._fetch_ns = 0
        self._final: dict[str, int] | None = None
        self._dataset, self._options = dataset, options
        dataset.expect_random_reads()
        # In training the names mean the filters of the papers; there is no bilinear filter among them.
        wanted = options.geometry.interpolation
        self._interpolation = wanted if not options.train or wanted == "bilinear" else None

    def filter(self, format: OutputFormat) -> Filter:
        """The resampling kernel of an output format."""
        if self._interpolation is not None:
            return interpolation(format.resolution, self._interpolation)
        return build(format.resolution, cast(FilterName, self._options.filter))

    def plan(self, format: OutputFormat, epoch: int, keys: NDArray[np.int64]) -> BatchPlan:
        """The plan of some samples, given by draw keys [n]; no image is decoded."""
        plan = self._begin(format, epoch, keys)
        self._wait(plan)
        return plan

    def _wait(self, plan: BatchPlan) -> None:
        """Waits for samples from remote storage, and counts the time."""
        if plan.fetch is not None:
            began = time.perf_counter_ns()
            plan.fetch.wait()
            self._fetch_ns += time.perf_counter_ns() - began

    def _begin(self, format: OutputFormat, epoch: int, keys: NDArray[np.int64]) -> BatchPlan:
        """The plan of some samples, which may still be being fetched, see `BatchPlan.fetch`."""
        indices = sample_indices(keys)
        lease = self._dataset.lease(indices)  # before `entries`, so that they cannot become invalid in between
        labels, samples = self._dataset.labels(indices), self._samples(format, epoch, keys)
        fetch = self._dataset.fetch(indices, samples)
        augment = format.augment(keys, seed=self._options.seed, epoch=epoch)
        pillow = fetch is not None or bool((samples["entry"]["kind"] == OTHER).any())  # a fetch may change them
        return BatchPlan(format, epoch, keys, labels, samples, augment, lease, fetch, pillow)

    def plans(self, format: OutputFormat, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Plans:
        """Plans batches: the first alone and immediately, because the consumer waits for it; the others in groups."""
        self._dataset.begin_epoch()
        first = [self._begin(format, epoch, batches[0].copy())] if batches else []  # `repair` writes to a plan's keys
        later = self._later(format, epoch, batches)
        if first and first[0].fetch is not None:  # its bytes are being fetched: begin to fetch the next ones, too
            first += islice(later, 1)
        return Plans(chain(first, later), self._wait)

    def _later(self, format: OutputFormat, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Iterator[BatchPlan]:
        """The plans of all batches but the first. Their data are fetched while earlier ones are decoded."""
        if not batches:
            return
        window, together = self._options.window, self._dataset.together
        together = window if window and together else together or PLANNED
        at_once = max(1, together // max(1, len(batches[0])))
        # Groups end at multiples of `at_once`: the samples in a window of quasi-random order are neighbours.
        ends = [*range(at_once, len(batches), at_once), len(batches)]
        coming: deque[_Group] = deque()
        # A generator, because indexing `batches` computes samples, which is slow for all samples of a large set.
        groups = (list(batches[start:end]) for start, end in pairwise([1, *ends]) if start < end)
        expected: deque[list[NDArray[np.int64]]] = deque()
        while True:
            for later in islice(groups, _EXPECTED + 1 - len(expected)):
                self._dataset.expect(sample_indices(np.concatenate(later)))
                expected.append(later)
            if not expected:
                break
            group = expected.popleft()
            coming.append(_Group(group, self._begin(format, epoch, np.concatenate(group))))
            # If no bytes must be fetched, groups are planned one by one, when they are needed.
            while coming and not self._fetch_more(coming):
                yield from coming.popleft().plans()
        while coming:
            yield from coming.popleft().plans()

    @staticmethod
    def _fetch_more(coming: deque[_Group]) -> bool:
        """Whether another group should be planned before the oldest one is returned."""
        fetches = [group.plan.fetch for group in coming if group.plan.fetch is not None]
        return len(fetches) == len(coming) == 1 or (
            len(fetches) < _MOST_FETCHES and 0 < sum(fetch.bytes for fetch in fetches) < _FETCHED
        )

    def submit(self, batch: BatchPlan, out: NDArray[np.uint8]) -> PendingBatch:
        """Starts to decode into `out`, in the kernel's threads and Pillow's; see `native.Pool.submit`."""
        pending = self.pool.submit(batch.samples, self.kernel_options(batch), out)
        if not batch.pillow:
            return pending
        rows = np.flatnonzero(batch.samples["entry"]["kind"] == OTHER)
        if not len(rows):
            return pending
        jobs = [self._pillow_job(batch.rows(rows[k : k + 1])) for k in range(len(rows))]
        return PartlyPillow(pending, self._pillow, rows, jobs)

    def _pillow_job(self, plan: BatchPlan) -> PillowJob:
        """The only sample of `plan`, for Pillow."""
        entry = plan.samples["entry"][0]
        if entry["kind"] == OTHER:
            read = StoredFile(entry, self._dataset.fd).read
        else:  # a JPEG that the kernel does not decode
            read = partial(self._dataset.read, int(sample_indices(plan.keys)[0]))
        return PillowJob(read, plan.samples, self.kernel_options(plan))

    def kernel_options(self, batch: BatchPlan) -> native.KernelOptions:
        """What the kernel makes of the samples of a batch."""
        format = batch.format
        return native.KernelOptions(
            side=format.resolution,
            filter=self.filter(format),
            fd=self._dataset.fd,
            lut=format.lut,
            augment=batch.augment,
            channels_last=format.channels_last,
        )

    def stats(self) -> dict[str, int]:
        """Sums so far: those of `native.Pool.stats` and Pillow's, and `fetch_ns`, waits for remote samples."""
        if self._final is not None:
            return self._final
        sums = {**self.pool.stats(), "fetch_ns": self._fetch_ns}
        return {**sums, **self._pillow.sums, "bytes_read": sums["bytes_read"] + self._pillow.sums["bytes_read"]}

    def close(self) -> None:
        """Stops the threads. Their sums remain available."""
        with suppress(LoaderError):  # closed before
            self._final = self.stats()
        self._pillow.close()
        self.pool.close()

    def repair(
        self, batch: BatchPlan, status: NDArray[np.int32], message: Callable[[int], str], out: NDArray[np.uint8]
    ) -> None:
        """Decodes again, in place, every sample whose status is not OK: with Pillow, else replaced if that is allowed.

        Args:
            batch: its `keys` and `labels` will name the samples that replaced others.
            status: `EtStatus` of each sample.
            message: why sample i failed.
            out: the batch's pixels, [n * bytes of a sample].

        Raises:
            BadSample: see `Backend.run`.
            BadDataset: the data set's file has changed, so the whole batch is unreliable.
            TooManyOpenFiles: a sample cannot be opened now.
        """
        self._dataset.check_unchanged()
        if not status.any():
            return
        for i in map(int, np.flatnonzero(status)):
            self._repair(batch, i, int(status[i]), message(i), out.reshape(len(batch.keys), -1)[i])

    def _samples(self, format: OutputFormat, epoch: int, keys: NDArray[np.int64]) -> NDArray[np.void]:
        entries = self._dataset.decode_entries(sample_indices(keys))
        return plan_batch(
            entries,
            keys,
            seed=self._options.seed,
            epoch=epoch,
            resolution=format.resolution,
            train=self._options.train,
            max_level=self._options.max_level,
            geometry=self._options.geometry,
            filter=self.filter(format),
        )

    def _repair(self, batch: BatchPlan, i: int, status: int, message: str, pixels: NDArray[np.uint8]) -> None:
        """`repair` for sample `i` of the batch, whose pixels are `pixels`."""
        key = int(batch.keys[i])
        index, plan = int(sample_indices(batch.keys[i])), batch.rows(slice(i, i + 1))
        if status == native.DAMAGED and self._dataset.forget(index):  # perhaps damaged in transfer
            plan, status, message = self._again(batch, key, pixels)
        chosen, copy = self._options.replace_from, copy_numbers(batch.keys[i : i + 1])
        # All copies of a sample get the same replacement, so its views still show one image.
        among = len(self._dataset) if chosen is None else len(chosen)
        found = replacements(self._options.seed, batch.epoch, index, among)
        others = iter(found if chosen is None else chosen[found].tolist())
        while (why := self._by_pillow(plan, status, message, pixels)) is not None:
            if status == native.EXHAUSTED:
                raise TooManyOpenFiles.opening(f"{self._dataset.path}: sample {index}")
            bad = BadSample(index, self._dataset.name(index), why)
            if self._options.on_error == "raise":
                raise bad
            self.bad[index] = bad
            if (index := next(others, -1)) < 0:
                raise bad
            key = int(draw_keys(np.array([index]), copy)[0])
            plan, status, message = self._again(batch, key, pixels)
        batch.keys[i], batch.labels[i], batch.samples[i] = key, plan.labels[0], plan.samples[0]

    def _again(self, batch: BatchPlan, key: int, pixels: NDArray[np.uint8]) -> tuple[BatchPlan, int, str]:
        """Reads and decodes one sample into `pixels`: its plan, status and message."""
        plan = self.plan(batch.format, batch.epoch, np.array([key]))
        pending = self.submit(plan, pixels)
        pending.wait()
        return plan, int(pending.status[0]), pending.message(0)

    def _by_pillow(self, plan: BatchPlan, status: int, message: str, pixels: NDArray[np.uint8]) -> str | None:
        """Decodes the only sample of `plan` into `pixels` if the kernel does not support it.

        Returns:
            None if the pixels are there; else the reason why the kernel, or Pillow, failed.
        """
        if status != native.UNSUPPORTED:
            return message if status else None
        result = decode_with_pillow(self._pillow_job(plan), len(pixels))
        self._pillow.count(result)
        if result.pixels is None:
            return result.why
        pixels[:] = result.pixels
        return None
