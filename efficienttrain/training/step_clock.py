"""How long steps took, and how much of that the network waited for data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

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
