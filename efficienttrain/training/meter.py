"""Measurements over some steps: mean loss, speed, the share of time spent waiting for data, a hash of the batches."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from efficienttrain.training.distributed import Ranks

MicroBatch = tuple[int, Tensor, Tensor]


class Meter:
    """Accumulates between two calls of `read`. The loss stays on its device until then, so no step waits for it."""

    def __init__(self, ranks: Ranks, hashes: bool = False) -> None:
        """hashes: compute a hash of every batch, which takes time."""
        self._ranks, self._hashes = ranks, hashes
        self.clock = Clock(ranks.device)
        self._loss = torch.zeros((), device=ranks.device)
        self._hash = self.steps = 0

    def watch(self, batches: Iterable[MicroBatch]) -> Iterator[MicroBatch]:
        """Yields the micro-batches of a step, and measures them."""
        for group, images, labels in self.clock.watch(batches):
            if self._hashes:
                for part in (labels, images):
                    self._hash = zlib.crc32(part.contiguous().cpu().view(torch.uint8).numpy().data, self._hash)
            yield group, images, labels

    def add(self, loss: Tensor) -> None:
        """Adds a finished step; loss: of this rank."""
        self._loss += loss
        self.steps += 1

    def read(self) -> dict[str, float]:
        """Returns the measurements since the last call, over all ranks, and resets.

        Returns:
            `loss`: the mean; `seconds`; `stall`: share of `seconds` that the slowest rank waited for data; `hash`.
        """
        seconds, waited = self.clock.lap()
        loss = self._ranks.total(self._loss).item() / self._ranks.world_size / max(1, self.steps)
        found = {"loss": loss, "seconds": seconds, "stall": self._ranks.largest(waited / seconds)}
        if self._hashes:
            found["hash"] = int(self._ranks.total(torch.tensor(self._hash, device=self._ranks.device)))
        self._loss.zero_()
        self._hash = self.steps = 0
        return found


T = TypeVar("T")


class Clock:
    """Measures time and waiting time between two calls of `lap`.

    On a GPU the host runs ahead, so the network need not wait when the host waits for the loader. Instead of the host's
    waiting time, the clock measures the time between two events in the GPU's queue, recorded before and after the host
    waits. It is zero while work is queued.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = device.type == "cuda"
        self._marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._waited = 0.0
        self._started = time.perf_counter()

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """Yields the batches, and measures the waiting time for each."""
        coming = iter(batches)
        while True:
            begin = self._mark()
            try:
                batch = next(coming)
            except StopIteration:
                return
            if isinstance(begin, float):
                self._waited += time.perf_counter() - begin
            else:
                end = torch.cuda.Event(enable_timing=True)
                end.record()
                self._marks.append((begin, end))
            yield batch

    def lap(self) -> tuple[float, float]:
        """Seconds, and seconds of waiting, since the last `lap` or `start`."""
        if self._gpu:
            torch.cuda.synchronize()
            self._waited += sum(begin.elapsed_time(end) for begin, end in self._marks) / 1000
        seconds, waited = time.perf_counter() - self._started, self._waited
        self.start()
        return seconds, waited

    def start(self) -> None:
        """Restarts: time since the last lap is not counted."""
        self._marks.clear()
        self._waited = 0.0
        self._started = time.perf_counter()

    def _mark(self) -> float | torch.cuda.Event:
        if not self._gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
