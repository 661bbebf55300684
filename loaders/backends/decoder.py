"""What the backends share: planning, decoding by the kernel's threads, and putting bad samples right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import native
from ..errors import BadSample, LoaderError
from ..pillow import decode_rgb
from ..plan import plan_batch, replacements
from ..plan.filters import Filter, FilterName, build
from ..sources import Dataset
from ..stage import Stage

PLANNED = 1024
"""Samples planned together, unless a batch has more: most of what NumPy costs is per call."""


@dataclass(eq=False)
class BatchPlan:
    """A batch with everything about it decided, whoever decodes it."""

    stage: Stage
    epoch: int
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    samples: NDArray[np.void]
    lease: object = None
    """Keeps the bytes that `samples` name in memory, see `Dataset.lease`."""


class Decoder:
    """Plans samples of one data set and decodes them.

    Attributes:
        pool: the kernel's threads.
        bad: what could not be decoded, by sample index.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        train: bool,
        seed: int,
        workers: int,
        on_error: str,
        filter: str,
        max_level: int | None,
    ) -> None:
        self.pool = native.Pool(workers)
        self.bad: dict[int, BadSample] = {}
        self._dataset, self._on_error, self._seed = dataset, on_error, seed
        self._plan_options: dict[str, Any] = {"seed": seed, "train": train, "max_level": max_level}
        self._filter = cast(FilterName, filter)

    def filter(self, stage: Stage) -> Filter:
        """The resampling kernel of a stage."""
        return build(stage.resolution, self._filter)

    def plan(self, stage: Stage, epoch: int, indices: NDArray[np.int64]) -> BatchPlan:
        """Decides everything about some samples; no image is read."""
        lease = self._dataset.lease(indices)  # before `entries`, so that they cannot become invalid in between
        labels, samples = self._dataset.labels(indices), self._samples(stage, epoch, indices)
        return BatchPlan(stage, epoch, indices, labels, samples, lease)

    def plans(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Iterator[BatchPlan]:
        """Plans batch after batch: the first now and alone, since somebody waits for it; then several at once."""
        first = [self.plan(stage, epoch, batches[0].copy())] if batches else []  # `mend` writes to a plan's indices
        return chain(first, self._later(stage, epoch, batches))

    def _later(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Iterator[BatchPlan]:
        at_once = max(1, PLANNED // stage.batch_size)
        for start in range(1, len(batches), at_once):
            some = batches[start : start + at_once]
            plan = self.plan(stage, epoch, np.concatenate(some))
            end = 0
            for batch in some:
                part = slice(end, end := end + len(batch))
                yield BatchPlan(stage, epoch, plan.indices[part], plan.labels[part], plan.samples[part], plan.lease)

    def submit(
        self, stage: Stage, samples: NDArray[np.void], out: NDArray[np.uint8], lut: NDArray[Any] | None
    ) -> native.Ticket:
        """Has the kernel's threads decode into `out`; see `native.Pool.submit`."""
        return self.pool.submit(
            samples, side=stage.resolution, filter=self.filter(stage), out=out, fd=self._dataset.fd, lut=lut
        )

    def mend(
        self,
        batch: BatchPlan,
        status: NDArray[np.int32],
        message: Callable[[int], str],
        out: NDArray[np.uint8],
        lut: NDArray[Any] | None,
    ) -> None:
        """Puts right, in place, every sample whose status is not OK: by Pillow, else by another where that is allowed.

        Args:
            batch: of which `indices` and `labels` will name what took a sample's place.
            status: `EtStatus` of each sample.
            message: why sample i failed.
            out: the batch's pixels, [n * bytes of a sample].
            lut: what `submit` was given.

        Raises:
            BadSample: see `Backend.run`.
            BadDataset: the data set's file has become another one, so that nothing in the batch can be trusted.
        """
        self._dataset.check_unchanged()
        for i in map(int, np.flatnonzero(status)):
            self._mend(batch, i, int(status[i]), message(i), out.reshape(len(batch.indices), -1)[i], lut)

    def _samples(self, stage: Stage, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.void]:
        entries = self._dataset.entries(indices)
        return plan_batch(entries, indices, epoch=epoch, resolution=stage.resolution, **self._plan_options)

    def _mend(
        self, batch: BatchPlan, i: int, status: int, message: str, pixels: NDArray[np.uint8], lut: NDArray[Any] | None
    ) -> None:
        index, sample = int(batch.indices[i]), batch.samples[i]
        others = iter(replacements(self._seed, batch.epoch, index, len(self._dataset)))
        while (why := self._rescue(batch.stage, index, sample, status, message, pixels, lut)) is not None:
            bad = BadSample(index, self._dataset.name(index), why)
            if self._on_error == "raise":
                raise bad
            self.bad[index] = bad
            if (index := next(others, -1)) < 0:
                raise bad
            samples = self._samples(batch.stage, batch.epoch, np.array([index]))
            ticket = self.submit(batch.stage, samples, pixels, lut)
            ticket.wait()
            sample, status, message = samples[0], int(ticket.status[0]), ticket.message(0)
        batch.indices[i], batch.labels[i] = index, self._dataset.labels([index])[0]

    def _rescue(
        self,
        stage: Stage,
        index: int,
        sample: NDArray[np.void],
        status: int,
        message: str,
        pixels: NDArray[np.uint8],
        lut: NDArray[Any] | None,
    ) -> str | None:
        """None once `pixels` hold the sample, else why they do not."""
        if status != native.UNSUPPORTED:
            return message if status else None
        try:
            rgb = decode_rgb(self._dataset.read(index))
        except LoaderError as error:
            return str(error)
        made = native.resample(rgb, sample, side=stage.resolution, filter=self.filter(stage))
        if lut is not None:
            made = np.take_along_axis(lut, made.reshape(3, -1).astype(np.intp), axis=1)
        pixels[:] = made.reshape(-1).view(np.uint8)
        return None
