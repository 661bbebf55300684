"""Measurements over some steps: mean loss, speed, waiting, and a hash of the batches."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from efficienttrain.training.distributed import Ranks
from efficienttrain.training.step_clock import Clock

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
