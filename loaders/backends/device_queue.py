"""The host's bookkeeping of a device's queue: times, memory that queued work uses, and a limit on its length."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Clock:
    """`with clock("ops"): ...` adds the device's time for the block's operations in the current stream.

    On the CPU this is the wall time. On a GPU, events in the stream measure it, and the host does not wait for them.
    """

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


class InUse:
    """Keeps objects alive until all work that was queued before the call of `keep` is done.

    For memory that torch's allocator does not manage, or manages for another stream: pinned buffers, DALI's outputs.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[torch.cuda.Event, object]] = deque()

    def keep(self, stream: torch.cuda.Stream, *objects: object) -> None:
        """Keeps `objects` alive until all work that is queued on `stream` now is done. Never waits."""
        event = torch.cuda.Event()
        event.record(stream)
        self._kept.append((event, objects))
        self.release()

    def release(self) -> None:
        """Releases memory that is no longer used, oldest first."""
        while self._kept and self._kept[0][0].query():
            self._kept.popleft()

    def __len__(self) -> int:
        return len(self._kept)


class RunAhead:
    """Limits the number of batches by which the host is ahead of the user's work on a GPU.

    A host that only queues work (a step captured in a CUDA graph) would otherwise queue batches until memory is
    exhausted. It waits for the work of `batches` batches ago. If the GPU is fast enough, this work is already done.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._events: deque[torch.cuda.Event] = deque()

    def delivered(self, stream: torch.cuda.Stream) -> None:
        """Call this before each batch, with the user's stream, on which the work on earlier batches is queued."""
        event = torch.cuda.Event(blocking=True)  # the host sleeps while it waits
        event.record(stream)
        self._events.append(event)
        if len(self._events) > self._batches:
            self._events.popleft().synchronize()


def hand_over(value: Any, stream: torch.cuda.Stream) -> None:
    """Tells torch's allocator that these tensors, made on a side stream, are used on the user's `stream` from now on.

    Otherwise it could reuse their memory on the side stream while the user's stream still reads it.

    value: a tensor, or tuples, lists and dictionaries of tensors; other contents are ignored.
    """
    if isinstance(value, torch.Tensor):
        if value.is_cuda:
            value.record_stream(stream)
    elif isinstance(value, dict):
        hand_over(list(value.values()), stream)
    elif isinstance(value, tuple | list):
        for each in value:
            hand_over(each, stream)
