"""The torch backend: our thread pool decodes, and torch does the rest. It is the reference for the other backends.

This module uses no Python thread: `run` submits batches to the kernel's threads until enough are in progress, and waits
for the oldest. So Ctrl-C, an early `break` and an exception in the user's loop need no special treatment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch import Batch, BatchPlan
from ..buffer_pool import BufferPool
from ..sources import Dataset
from ..stage import Stage
from .base import BackendOptions, PendingBatch
from .decoder import Decoder, Plans
from .device_queue import Clock, InUse, RunAhead, hand_over

if TYPE_CHECKING:
    from ..transforms.pipeline import TransformPipeline

_MOST_BATCHES = 32
"""Most batches in progress, if storage is slow and more than `prefetch_factor` are needed."""

Submit = Callable[[BatchPlan, NDArray[np.uint8]], PendingBatch]
"""Function that starts a batch, given its plan and the memory for its pixels."""


class TorchBackend:
    """Executes plans on the kernel's thread pool, see `Backend`."""

    def __init__(self, dataset: Dataset, pipeline: TransformPipeline, options: BackendOptions) -> None:
        self._decoder = Decoder(dataset, options)
        self._pipeline, self._ahead, self._clock = pipeline, options.prefetch_factor + 1, Clock(pipeline.device)
        self.bad = self._decoder.bad
        cuda = pipeline.device.type == "cuda"
        self._buffers = BufferPool(self._ahead, _pinned if cuda else None)
        self._stream = torch.cuda.Stream(pipeline.device) if cuda else None
        self._in_use, self._run_ahead = InUse(), RunAhead(self._ahead)

    def run(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Generator[Batch, None, None]:
        """See `Backend.run`."""
        return self._deliver(batches, self._decoder.plans(self._pipeline.format(stage, in_kernel=True), epoch, batches))

    def _deliver(self, batches: Sequence[NDArray[np.int64]], plans: Plans) -> Generator[Batch, None, None]:
        if not batches:
            return
        jobs: deque[tuple[BatchPlan, PendingBatch]] = deque()
        with self._threads(batches) as submit:
            coming = self._submit(plans, submit)
            try:
                for _ in range(len(batches)):
                    wanted = max(self._ahead, self._depth(len(batches[0])))  # falls when storage is fast again
                    # A batch in progress does not wait for later batches whose bytes are still being fetched.
                    while len(jobs) < wanted and (not jobs or plans.here()) and (job := next(coming, None)):
                        jobs.append(job)
                    yield self._collect(*jobs.popleft())
            finally:
                for _, pending in jobs:
                    pending.close()

    def _depth(self, batch_size: int) -> int:
        """Number of batches in progress that allows as many reads in flight as slow storage needs."""
        return min(_MOST_BATCHES, 1 + -(-2 * self._decoder.pool.readers() // max(1, batch_size)))

    def stats(self) -> dict[str, int]:
        """The decoder's sums, see `Decoder.stats`, and the device's, see `Clock.sums`."""
        return {**self._decoder.stats(), **self._clock.sums()}

    def close(self) -> None:
        """Stops the threads."""
        self._decoder.close()

    def _threads(self, _batches: Sequence[NDArray[np.int64]]) -> AbstractContextManager[Submit]:
        """The threads that decode these batches, for as long as they are iterated."""
        return nullcontext(lambda batch, out: self._decoder.submit(batch, out))

    def _submit(self, plans: Iterator[BatchPlan], submit: Submit) -> Iterator[tuple[BatchPlan, PendingBatch]]:
        """Starts each batch on request."""
        for batch in plans:
            yield batch, submit(batch, self._buffers.take(len(batch.keys) * batch.format.sample_bytes))

    def _collect(self, batch: BatchPlan, pending: PendingBatch) -> Batch:
        """Waits for a batch and applies the transforms."""
        pending.wait()
        self._decoder.repair(batch, pending.status, pending.message, pending.out)
        pending.close()  # not in a finalizer, where Python would lose a Ctrl-C
        images = batch.format.tensor(pending.out)
        labels = torch.from_numpy(batch.labels.copy())  # several batches share the array, and the caller may keep it
        if self._stream is None:
            with self._clock("ops"):
                return self._pipeline(batch.decoded(images, labels, self._pipeline.seed), batch.format)
        return self._to_device(batch, pending, images, labels, self._stream)

    def _to_device(
        self,
        batch: BatchPlan,
        pending: PendingBatch,
        images: torch.Tensor,
        labels: torch.Tensor,
        stream: torch.cuda.Stream,
    ) -> Batch:
        # Note [side stream]: copy and transforms run in parallel with the training step. The user's stream waits for
        # them, the CPU does not. The pinned buffer is kept until its copy has ended, and `record_stream` keeps the
        # allocator from reusing the tensors' memory while the user's stream may still read it.
        device = self._pipeline.device
        user = torch.cuda.current_stream(device)
        self._run_ahead.delivered(user)
        with torch.cuda.stream(stream):
            with self._clock("copy"):
                images = images.to(device, non_blocking=True)
                labels = labels.pin_memory().to(device, non_blocking=True)
            self._in_use.keep(stream, pending)
            with self._clock("ops"):
                made = self._pipeline(batch.decoded(images, labels, self._pipeline.seed), batch.format)
        user.wait_stream(stream)
        hand_over((made.images, made.labels, made.targets), user)
        return made


def _pinned(size: int) -> NDArray[np.uint8]:
    return torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=True).numpy()
