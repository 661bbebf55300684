"""The task of a contestant (`Job`), and how an endless stream of batches is timed (`Stream`).

A contestant is a module in `benchmarks/peers/` with

* `prepare(job)`: makes the files that it needs (its own record format, ...) once, outside every timing;
  optional;
* `build(job)`: returns a `Contestant`.

Both run in a process of their own (`benchmarks/harness/child.py`), the only one that imports the module and its
libraries.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

LEAST_BATCHES = 8  # a window never holds fewer, so that one batch more or less cannot move a slow loader's rate far


@dataclass(frozen=True)
class Job:
    """One contestant at one resolution. Paths are strings: a job travels as JSON."""

    name: str
    resolution: int  # output side, pixels
    threads: int  # decoding threads or worker processes; also the number of CPUs the process may use
    batch_size: int  # images
    folder: str  # ImageFolder tree of the records
    pyramid: str  # our beton of the same records (made by the contestant `ours` if it does not exist)
    work: str  # folder for derived files; shared by all resolutions
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)  # options of a peer's variants
    device: str = "cpu"  # of the delivered batches, "cpu" or "cuda"
    cold_images: int = 0  # the page cache is emptied before each window, which ends after so many images; 0: it is warm
    reload: bool = False  # read the pyramid before each window, because other contestants have emptied the page cache


class Contestant(Protocol):
    """Ready to be timed."""

    output: str  # type and shape, e.g. "uint8 64x3x96x96"
    delivered: int  # images so far, in and outside windows

    def round(self, seconds: float) -> tuple[int, float]: ...

    def facts(self) -> dict[str, float]: ...


class Stream:
    """Times a loader, given as an endless iterator of image batches (arrays or tensors, batch first).

    `ahead` is how many finished batches the loader may have in store when a round starts. They are taken,
    untimed, first: a round then measures a running pipeline, not one filled in advance.
    With `cold_images`, a window also ends after so many images: later ones might be in the page cache again.
    Windows end after a multiple of `threads` batches, because loaders with one worker process a batch deliver
    in bursts of that many.
    """

    def __init__(self, batches: Iterator[Any], job: Job, ahead: int) -> None:
        self._batches, self._step, self._ahead, self._device = batches, job.threads, ahead, job.device
        self._most = job.cold_images or float("inf")
        first = next(batches)  # compiles, forks, opens: all outside the windows
        sides = [side for side in first.shape[1:] if side != 3]
        if len(first) != job.batch_size or sides != [job.resolution, job.resolution]:
            raise RuntimeError(
                f"{job.name} delivers {tuple(first.shape)} where {job.batch_size} images of "
                f"{job.resolution}x{job.resolution} were asked for."
            )
        kind = str(first.dtype).removeprefix("torch.")
        self.output = f"{kind} {'x'.join(map(str, first.shape))}"
        self.delivered = len(first)

    def round(self, seconds: float) -> tuple[int, float]:
        """One window of at least `seconds` and `LEAST_BATCHES` batches: (images delivered in it, its length in s)."""
        for _ in range(self._ahead):
            self.delivered += len(next(self._batches))
        images = batches = 0
        self._settle()
        start = time.perf_counter()
        elapsed = 0.0
        while (elapsed < seconds or batches < LEAST_BATCHES) and images < self._most:
            for _ in range(self._step):
                images += len(next(self._batches))
            batches += self._step
            elapsed = time.perf_counter() - start
        self._settle()
        self.delivered += images
        return images, time.perf_counter() - start

    def facts(self) -> dict[str, float]:
        """Figures that only the contestant itself knows; read after each round."""
        return {}

    def _settle(self) -> None:
        """A batch counts as delivered only once the GPU has made it."""
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()
