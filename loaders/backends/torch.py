"""The torch backend: our thread pool decodes, torch finishes. The reference for the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from loaders import native
from loaders.backends.pillow import decode_rgb
from loaders.errors import BadSample, LoaderError
from loaders.plan import plan_batch, replacements
from loaders.plan.filters import FilterName, build
from loaders.slab import Slab
from loaders.stage import Stage
from loaders.store import Store

if TYPE_CHECKING:
    from loaders.backends.finish import Finish


@dataclass(eq=False)
class Job:
    """A batch on its way."""

    stage: Stage
    epoch: int
    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    samples: NDArray[np.void]
    ticket: native.Ticket


class TorchBackend:
    """Executes plans: `submit` returns at once, `collect` gives the tensors. Owns the threads.

    Attributes:
        bad: what could not be decoded, by sample index.
    """

    def __init__(
        self,
        store: Store,
        finish: Finish,
        *,
        train: bool,
        seed: int,
        workers: int,
        prefetch: int,
        on_error: str,
        filter: str,
        max_level: int | None,
    ) -> None:
        self._store, self._finish, self._on_error = store, finish, on_error
        self._plan_options: dict[str, Any] = {"seed": seed, "train": train, "max_level": max_level}
        self._seed, self._filter = seed, cast(FilterName, filter)
        self._pool = native.Pool(workers)
        cuda = finish.device.type == "cuda"
        self._slab = Slab(prefetch + 1, _pinned if cuda else None)
        self._stream = torch.cuda.Stream(finish.device) if cuda else None
        self._flying: deque[tuple[torch.cuda.Event, Job]] = deque()
        self.bad: dict[int, BadSample] = {}

    def submit(self, stage: Stage, epoch: int, batches: list[NDArray[np.int64]]) -> Iterator[Job]:
        """Plans some batches at once, which costs NumPy little more than one, and hands each to the pool when asked."""
        indices = np.concatenate(batches)
        samples, labels = self._plan(stage, epoch, indices), self._store.labels(indices)
        lut = self._finish.lut(stage)
        size = 3 * stage.bandwidth**2 * (1 if lut is None else lut.itemsize)
        first = 0
        for batch in batches:
            part = slice(first, first + len(batch))
            first = part.stop
            ticket = self._decode(stage, samples[part], self._slab.take(len(batch) * size))
            yield Job(stage, epoch, indices[part], labels[part], samples[part], ticket)

    def collect(self, job: Job) -> tuple[torch.Tensor, torch.Tensor]:
        """Waits for a batch: images [n, 3, B, B], labels int64 [n], both on the device.

        Raises:
            BadSample: a sample cannot be decoded, and `on_error` is "raise" or no other sample could take its place.
        """
        job.ticket.wait()
        for i in np.flatnonzero(job.ticket.status):
            self._mend(job, int(i))
        job.ticket.close()  # now, and not by a finalizer, in which Python would drop a Ctrl-C
        images = self._finish.tensor(job.ticket.out, job.stage)
        labels = torch.from_numpy(job.labels.copy())  # a part of what several batches share, and the caller's to keep
        if self._stream is None:
            return self._finish(images, job.indices, job.stage, job.epoch), labels
        return self._to_device(job, images, labels, self._stream)

    def stats(self) -> dict[str, int]:
        """The pool's sums, see `native.Pool.stats`."""
        return self._pool.stats()

    def close(self) -> None:
        """Stops the threads."""
        self._pool.close()

    def _to_device(
        self, job: Job, images: torch.Tensor, labels: torch.Tensor, stream: torch.cuda.Stream
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Note [side stream]: copy and finish run beside the training step. The user's stream waits for them, the CPU
        # never does: the pinned buffer is held by `_flying` until its copy is over, and `record_stream` keeps the
        # allocator from handing the tensors' memory out while the user's stream may still read it.
        while self._flying and self._flying[0][0].query():
            self._flying.popleft()
        device = self._finish.device
        user = torch.cuda.current_stream(device)
        with torch.cuda.stream(stream):
            images = images.to(device, non_blocking=True)
            labels = labels.pin_memory().to(device, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(stream)
            self._flying.append((copied, job))
            images = self._finish(images, job.indices, job.stage, job.epoch)
        user.wait_stream(stream)
        images.record_stream(user)
        labels.record_stream(user)
        return images, labels

    def _plan(self, stage: Stage, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.void]:
        entries = self._store.entries(indices)
        return plan_batch(entries, indices, epoch=epoch, bandwidth=stage.bandwidth, **self._plan_options)

    def _decode(self, stage: Stage, samples: NDArray[np.void], out: NDArray[np.uint8]) -> native.Ticket:
        table, lut = build(stage.bandwidth, self._filter), self._finish.lut(stage)
        return self._pool.submit(samples, side=stage.bandwidth, filter=table, out=out, fd=self._store.fd, lut=lut)

    def _mend(self, job: Job, i: int) -> None:
        """Puts right what the kernel could not decode: by Pillow, else by another sample where `on_error` allows it."""
        index, pixels = int(job.indices[i]), job.ticket.out.reshape(len(job.indices), -1)[i]
        why = self._rescue(job.stage, index, job.samples[i], job.ticket, i, pixels)
        others = iter(replacements(self._seed, job.epoch, index, len(self._store)))
        while why is not None:
            bad = BadSample(index, self._store.name(index), why)
            if self._on_error == "raise":
                raise bad
            self.bad[index] = bad
            if (index := next(others, -1)) < 0:
                raise bad
            samples = self._plan(job.stage, job.epoch, np.array([index]))
            ticket = self._decode(job.stage, samples, pixels)
            ticket.wait()
            why = self._rescue(job.stage, index, samples[0], ticket, 0, pixels)
        job.indices[i], job.labels[i] = index, self._store.labels([index])[0]

    def _rescue(
        self,
        stage: Stage,
        index: int,
        sample: NDArray[np.void],
        ticket: native.Ticket,
        i: int,
        pixels: NDArray[np.uint8],
    ) -> str | None:
        """None once `pixels` hold the sample, else why they do not."""
        if ticket.status[i] != native.UNSUPPORTED:
            return ticket.message(i) if ticket.status[i] else None
        try:
            rgb = decode_rgb(self._store.read(index))
        except LoaderError as error:
            return str(error)
        made = native.resample(rgb, sample, side=stage.bandwidth, filter=build(stage.bandwidth, self._filter))
        lut = self._finish.lut(stage)
        if lut is not None:
            made = np.take_along_axis(lut, made.reshape(3, -1).astype(np.intp), axis=1)
        pixels[:] = made.reshape(-1).view(np.uint8)
        return None


def _pinned(size: int) -> NDArray[np.uint8]:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
