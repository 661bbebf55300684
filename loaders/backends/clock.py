"""Times of a device's operations: by the wall clock on the CPU, on a GPU by events without waiting."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """`with clock("ops"): ...` adds the device's time for the block's operations in the current stream."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._sums: Counter[str] = Counter()
        self._running: deque[tuple[str, torch.cuda.Event, torch.cuda.Event]] = deque()

    @contextmanager
    def __call__(self, station: str) -> Iterator[None]:
        if not self._cuda:
            began = time.perf_counter_ns()
            yield
            self._sums[f"{station}_ns"] += time.perf_counter_ns() - began
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        yield
        end.record()
        self._running.append((station, start, end))
        self._collect()

    def sums(self) -> dict[str, int]:
        """Nanoseconds by station, `copy_ns` for example; unfinished work of a GPU is not included."""
        self._collect()
        return dict(self._sums)

    def _collect(self) -> None:
        while self._running and self._running[0][2].query():
            station, start, end = self._running.popleft()
            self._sums[f"{station}_ns"] += int(start.elapsed_time(end) * 1e6)
