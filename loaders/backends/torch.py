"""The torch backend: our thread pool decodes, torch finishes. The reference for the others.

There is no Python thread here: `run` tops up the batches under way, which the kernel's threads work on, and waits for
the oldest. So Ctrl-C, an early `break` and an exception in the user's loop need no special care.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..buffer_pool import BufferPool
from ..sources import Dataset
from ..stage import Stage
from .clock import Clock
from .decoder import BatchPlan, Decoder

if TYPE_CHECKING:
    from ..transforms.pipeline import Pipeline


class PendingBatch(Protocol):
    """A batch under way: what `native.Ticket` is, whoever decodes it."""

    out: NDArray[Any]
    status: NDArray[np.int32]

    def wait(self) -> object: ...

    def message(self, i: int) -> str: ...

    def close(self) -> None: ...


Submit = Callable[[BatchPlan, NDArray[np.uint8], NDArray[Any] | None], PendingBatch]
"""Starts a batch: its plan, memory for its pixels, the look-up table."""


class TorchBackend:
    """Executes plans on the kernel's thread pool, see `Backend`."""

    def __init__(self, dataset: Dataset, pipeline: Pipeline, *, workers: int, prefetch: int, **options: Any) -> None:
        """options: those of `Decoder`."""
        self._decoder = Decoder(dataset, workers=workers, **options)
        self._pipeline, self._prefetch, self._clock = pipeline, prefetch, Clock(pipeline.device)
        self.bad = self._decoder.bad
        cuda = pipeline.device.type == "cuda"
        self._buffers = BufferPool(prefetch + 1, _pinned if cuda else None)
        self._stream = torch.cuda.Stream(pipeline.device) if cuda else None
        self._flying: deque[tuple[torch.cuda.Event, PendingBatch]] = deque()

    def run(
        self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """See `Backend.run`."""
        return self._deliver(stage, batches, self._decoder.plans(stage, epoch, batches))

    def _deliver(
        self, stage: Stage, batches: Sequence[NDArray[np.int64]], plans: Iterator[BatchPlan]
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        if not batches:
            return
        jobs: deque[tuple[BatchPlan, PendingBatch]] = deque()
        with self._threads(batches) as submit:
            coming = self._submit(stage, plans, submit)
            try:
                for _ in range(len(batches)):
                    jobs.extend(islice(coming, self._prefetch + 1 - len(jobs)))
                    yield self._collect(*jobs.popleft())
            finally:
                for _, ticket in jobs:
                    ticket.close()

    def stats(self) -> dict[str, int]:
        """The pool's sums, see `native.Pool.stats`, and the device's, see `Clock.sums`."""
        return {**self._decoder.pool.stats(), **self._clock.sums()}

    def close(self) -> None:
        """Stops the threads."""
        self._decoder.pool.close()

    def _threads(self, _batches: Sequence[NDArray[np.int64]]) -> AbstractContextManager[Submit]:
        """What decodes these batches, for as long as they are iterated."""
        return nullcontext(lambda batch, out, lut: self._decoder.submit(batch.stage, batch.samples, out, lut))

    def _submit(
        self, stage: Stage, plans: Iterator[BatchPlan], submit: Submit
    ) -> Iterator[tuple[BatchPlan, PendingBatch]]:
        """Starts each batch when asked."""
        lut = self._pipeline.lut(stage)
        size = 3 * stage.resolution**2 * (1 if lut is None else lut.itemsize)
        for batch in plans:
            yield batch, submit(batch, self._buffers.take(len(batch.indices) * size), lut)

    def _collect(self, batch: BatchPlan, ticket: PendingBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Waits for a batch and finishes it."""
        ticket.wait()
        self._decoder.mend(batch, ticket.status, ticket.message, ticket.out, self._pipeline.lut(batch.stage))
        ticket.close()  # now, and not by a finalizer, in which Python would drop a Ctrl-C
        images = self._pipeline.tensor(ticket.out, batch.stage)
        labels = torch.from_numpy(batch.labels.copy())  # a part of what several batches share, and the caller's to keep
        if self._stream is None:
            with self._clock("ops"):
                return self._pipeline(images, batch.indices, batch.stage, batch.epoch), labels
        return self._to_device(batch, ticket, images, labels, self._stream)

    def _to_device(
        self,
        batch: BatchPlan,
        ticket: PendingBatch,
        images: torch.Tensor,
        labels: torch.Tensor,
        stream: torch.cuda.Stream,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Note [side stream]: copy and finish run beside the training step. The user's stream waits for them, the CPU
        # never does: the pinned buffer is held by `_flying` until its copy is over, and `record_stream` keeps the
        # allocator from handing the tensors' memory out while the user's stream may still read it.
        while self._flying and self._flying[0][0].query():
            self._flying.popleft()
        device = self._pipeline.device
        user = torch.cuda.current_stream(device)
        with torch.cuda.stream(stream):
            with self._clock("copy"):
                images = images.to(device, non_blocking=True)
                labels = labels.pin_memory().to(device, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(stream)
            self._flying.append((copied, ticket))
            with self._clock("ops"):
                images = self._pipeline(images, batch.indices, batch.stage, batch.epoch)
        user.wait_stream(stream)
        images.record_stream(user)
        labels.record_stream(user)
        return images, labels


def _pinned(size: int) -> NDArray[np.uint8]:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
