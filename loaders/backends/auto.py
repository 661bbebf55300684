"""`backend="auto"`: times the backends that this machine has, at the first stage, and keeps the fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch import Batch
from ..errors import BadSample, LoaderError
from ..requirements import dali_missing
from ..sources import Dataset
from ..stage import Stage
from .base import Backend, BackendOptions
from .torch import TorchBackend

if TYPE_CHECKING:
    from ..transforms.pipeline import TransformPipeline

SECONDS = 0.5
"""Seconds for which each candidate is timed."""
WARM_UP, PROBE, ROUNDS = 4, 8, 1000
"""Batches before the clock starts; batches of the epoch that are loaded while it runs; how often at most."""


class AutoBackend:
    """Executes plans on the fastest of `candidates`, see `Backend`.

    It decides once, before its first batch: each candidate is timed on every rank. The candidate whose slowest rank is
    fastest is used on all ranks and in all stages; the others are closed. A loader's state holds the choice, so a
    resumed training gets the same pixels. All ranks must start their first iteration of the loader together, and have
    the same candidates; a rank with a single candidate has no choice, and does not wait for other ranks.

    Attributes:
        chosen: the backend's name; None until it is decided.
    """

    def __init__(self, dataset: Dataset, pipeline: TransformPipeline, options: BackendOptions) -> None:
        self._candidates = candidates(dataset, pipeline, options)
        self._device = pipeline.device
        self._made: dict[str, Backend] = {}
        self.chosen: str | None = None
        if len(self._candidates) == 1:
            self.decide("torch")

    @property
    def bad(self) -> dict[int, BadSample]:
        """Samples that could not be decoded, by index."""
        return {index: bad for backend in self._made.values() for index, bad in backend.bad.items()}

    def run(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Generator[Batch, None, None]:
        """See `Backend.run`."""
        if self.chosen is None:
            self.decide(self._fastest(stage, epoch, batches[:PROBE]))
        assert self.chosen is not None
        return self._made[self.chosen].run(stage, epoch, batches)

    def decide(self, name: str) -> None:
        """Uses this backend from now on, and closes the others.

        Raises:
            LoaderError: it is not available here, or another one was chosen before.
        """
        if name == self.chosen:
            return
        if self.chosen is not None or name not in self._candidates:
            has = self.chosen or " and ".join(self._candidates)
            raise LoaderError(
                f'the state was taken with `backend="auto"` having chosen "{name}", and this loader has {has}; make '
                f'the loader with `backend="{name}"`, or start without the state.'
            )
        if name not in self._made:
            self._made[name] = self._candidates[name]()
        self.chosen = name
        for other in [other for other in self._made if other != name]:
            self._made.pop(other).close()

    def stats(self) -> dict[str, int]:
        """The chosen backend's sums, see `native.Pool.stats`."""
        return {} if self.chosen is None else self._made[self.chosen].stats()

    def close(self) -> None:
        """Stops the threads."""
        for backend in self._made.values():
            backend.close()

    def _fastest(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> str:
        """The candidate with most images/s on its slowest rank; "torch" if every candidate failed on some rank."""
        rates = dict.fromkeys(self._candidates, 0.0)
        for name in rates:
            try:
                if name not in self._made:
                    self._made[name] = self._candidates[name]()
                rates[name] = self._rate(self._made[name], stage, epoch, batches)
            except Exception:  # a candidate that fails is not chosen; errors in the data will show in the epoch itself
                continue
        ranks = _of_all_ranks(rates)
        slowest = {name: min(rank[name] for rank in ranks) for name in rates}
        best = max(slowest, key=lambda name: slowest[name])
        return best if slowest[best] > 0 else "torch"

    def _rate(self, backend: Backend, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> float:
        """Images per second, including the device's work."""
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


def _of_all_ranks(rates: dict[str, float]) -> list[dict[str, float]]:
    """The rates of each rank; only `rates` if there is no process group."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return [rates]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, rates)
    return found


def candidates(
    dataset: Dataset, pipeline: TransformPipeline, options: BackendOptions
) -> dict[str, Callable[[], Backend]]:
    """The backends to choose from, torch first.

    On the CPU torch is the only candidate: FFCV does the same work with the same kernel after seconds of compiling, and
    DALI's pixels differ in their last bits. On a GPU, the speed of decoding there may justify this difference, so DALI
    is a candidate if it is installed.
    """
    found: dict[str, Callable[[], Backend]] = {"torch": partial(TorchBackend, dataset, pipeline, options)}
    if pipeline.device.type == "cuda" and dali_missing() is None:
        from .dali import DALIBackend

        found["dali"] = partial(DALIBackend, dataset, pipeline, options)
    return found
