"""The host's side of a GPU's queue: memory kept while queued work uses it, and a bound on the queue's length."""

from __future__ import annotations

from collections import deque

import torch


class InUse:
    """Keeps objects until the work that was queued before they were handed over has been done.

    For memory that torch's allocator does not manage, or manages for another stream: pinned buffers, DALI's outputs.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[torch.cuda.Event, object]] = deque()

    def keep(self, stream: torch.cuda.Stream, *objects: object) -> None:
        """Keeps `objects` until all that is queued on `stream` now has been done. Never waits."""
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
    """Bounds how many batches the host is ahead of the user's work on a GPU.

    A host that only queues work (a step captured in a CUDA graph) would else queue batches until memory ends. The wait
    is for the work of `batches` batches ago: while the GPU keeps up it has been done, and nothing waits.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._events: deque[torch.cuda.Event] = deque()

    def delivered(self, stream: torch.cuda.Stream) -> None:
        """To be called before each batch, with the user's stream: the work on earlier batches is queued there."""
        event = torch.cuda.Event(blocking=True)  # the host sleeps while it waits
        event.record(stream)
        self._events.append(event)
        if len(self._events) > self._batches:
            self._events.popleft().synchronize()
