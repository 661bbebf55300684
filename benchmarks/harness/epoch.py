"""One epoch of a loader, timed whole: what `benchmark remote` asks of contestants that read from a store."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from .contestant import Job


class Epoch:
    """A `Contestant` whose round is an epoch, from asking for the first batch to the end of the last one.

    job.options: `store`, the URL of the folder `job.work` in a store for S3 clients; `http`, the same for others;
    `local`, an empty folder for what a contestant keeps on the local disk.
    """

    def __init__(self, batches: Iterable[Any], job: Job) -> None:
        """batches: of images, first dimension the batch; the loader must not have begun to read images."""
        self._batches, self._side = batches, job.resolution
        self.output, self.delivered = f"{job.name}, {job.resolution} px", 0

    def round(self, seconds: float) -> tuple[int, float]:  # noqa: ARG002  (an epoch ends when it does)
        """One epoch: (its images, its length in s)."""
        images, start = 0, time.perf_counter()
        for batch in self._batches:
            if batch.shape[-1] != self._side:
                raise RuntimeError(f"delivers {tuple(batch.shape)} where {self._side} pixels were asked for.")
            images += len(batch)
        self.delivered += images
        return images, time.perf_counter() - start

    def facts(self) -> dict[str, float]:
        """None."""
        return {}
