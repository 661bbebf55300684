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
    """Adds up from one `read` to the next. The loss stays on its device until then, so that no step waits for it."""

    def __init__(self, ranks: Ranks, hashes: bool = False) -> None:
        """hashes: take a hash of every batch, which costs time."""
        self._ranks, self._hashes = ranks, hashes
        self.clock = Clock(ranks.device)
        self._loss = torch.zeros((), device=ranks.device)
        self._hash = self.steps = 0

    def watch(self, batches: Iterable[MicroBatch]) -> Iterator[MicroBatch]:
        """The micro-batches of a step, looked at as they pass."""
        for group, images, labels in self.clock.watch(batches):
            if self._hashes:
                for part in (labels, images):
                    self._hash = zlib.crc32(part.contiguous().cpu().view(torch.uint8).numpy().data, self._hash)
            yield group, images, labels

    def add(self, loss: Tensor) -> None:
        """A step is done; loss: this rank's."""
        self._loss += loss
        self.steps += 1

    def read(self) -> dict[str, float]:
        """Resets, and returns the measurements since the last call, over all ranks.

        Returns:
            `loss`: the mean; `seconds`; `stall`: share of them that the slowest rank waited for data; `hash`.
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
    """Measures between two calls of `lap`.

    On a GPU the host runs ahead, so that its waiting for the loader does not mean that the network waits. There the
    time between two marks in the GPU's own queue counts, set before and after the host's waiting: none, while work is
    queued.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = device.type == "cuda"
        self._marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._waited = 0.0
        self._started = time.perf_counter()

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches, with the waiting for each of them measured."""
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
        """Seconds, and seconds waited, since the last `lap` or `start`."""
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
