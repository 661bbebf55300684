"""The backend that chooses: it measures what can do the work on this machine, at the stage that is about to run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch import Batch
from ..errors import BadSample
from ..sources import Dataset
from ..stage import Stage
from .base import Backend
from .torch import TorchBackend

if TYPE_CHECKING:
    from ..transforms.pipeline import TransformPipeline

SECONDS = 0.5
"""How long each candidate is timed."""
WARM_UP, PROBE, ROUNDS = 4, 8, 1000
"""Batches before the clock starts; batches of the epoch that are loaded while it runs, and at most how often."""
_FASTEST: dict[tuple[Any, ...], str] = {}


class AutoBackend:
    """Executes plans on the fastest of `candidates`, see `Backend`.

    Nothing is measured where there is only one, and once in a process for every kind of stage elsewhere: some two
    seconds before the stage's first batch.

    Attributes:
        chosen: what the latest stage runs on.
    """

    def __init__(self, dataset: Dataset, pipeline: TransformPipeline, **options: Any) -> None:
        """options: those of any backend."""
        self._candidates = candidates(dataset, pipeline, options)
        self._place = (str(pipeline.device), pipeline.dtype, type(dataset), options["num_workers"])
        self._device = pipeline.device
        self._made: dict[str, Backend] = {"torch": self._candidates["torch"]()}
        self.chosen = "torch"

    @property
    def bad(self) -> dict[int, BadSample]:
        """What could not be decoded, by sample index."""
        return {index: bad for backend in self._made.values() for index, bad in backend.bad.items()}

    def run(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Generator[Batch, None, None]:
        """See `Backend.run`."""
        if len(self._candidates) > 1 and batches:
            kind = (*self._place, stage.resolution, stage.batch_size, stage.magnitude is None)
            if kind not in _FASTEST:
                _FASTEST[kind] = self._fastest(stage, epoch, batches[:PROBE])
            self.chosen = self._have(_FASTEST[kind])
        return self._made[self.chosen].run(stage, epoch, batches)

    def stats(self) -> dict[str, int]:
        """Sums over all backends that have worked, see `native.Pool.stats`."""
        total: Counter[str] = Counter()
        for backend in self._made.values():
            total.update(backend.stats())
        return dict(total)

    def close(self) -> None:
        """Stops the threads."""
        for backend in self._made.values():
            backend.close()

    def _have(self, name: str) -> str:
        """Makes the backend of that name; "torch" where it cannot be made."""
        if name not in self._made:
            try:
                self._made[name] = self._candidates[name]()
            except Exception:  # what is broken in an optional package is no reason to stop
                return "torch"
        return name

    def _fastest(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> str:
        """The candidate with most images a second; one that fails, in whatever way, has none."""
        rates = dict.fromkeys(self._candidates, 0.0)
        for name in rates:
            if self._have(name) != name:
                continue
            try:
                rates[name] = self._rate(self._made[name], stage, epoch, batches)
            except Exception:  # what does not work here is not chosen; what is wrong with the data the epoch will tell
                continue
        return max(rates, key=lambda name: rates[name])

    def _rate(self, backend: Backend, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> float:
        """Images a second, the device's work included."""
        images, began = 0, 0.0
        with closing(backend.run(stage, epoch, list(batches) * ROUNDS)) as run:
            for count, batch in enumerate(run, 1):
                images += len(batch.images)
                if count == WARM_UP:
                    self._settle()
                    images, began = 0, time.perf_counter()
                elif count > WARM_UP and time.perf_counter() - began > SECONDS:
                    break
            self._settle()
        return images / (time.perf_counter() - began)

    def _settle(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def candidates(
    dataset: Dataset, pipeline: TransformPipeline, options: dict[str, Any]
) -> dict[str, Callable[[], Backend]]:
    """What can be chosen from, torch first.

    On the CPU that is torch alone. FFCV does the same work there by the same kernel, after several seconds of importing
    and compiling; DALI's pixels differ in their last bits, and the same seed shall give the same batches on every
    machine. On a GPU, decoding there may be worth that difference: DALI takes part, where it is installed.
    """
    found: dict[str, Callable[[], Backend]] = {"torch": partial(TorchBackend, dataset, pipeline, **options)}
    if pipeline.device.type == "cuda":
        from .dali import DALIBackend, missing

        if missing() is None:
            found["dali"] = partial(DALIBackend, dataset, pipeline, **options)
    return found
