"""How one optimizer step's samples are laid out over ranks, micro-batches and loader batches.

Also `--replay auto`: the smallest replay factor that hides the loader, from how long the network waited for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from efficienttrain._loaders import free_bytes, ring_bytes
from efficienttrain.training.distributed import Ranks


@dataclass(frozen=True)
class Layout:
    """A step takes ranks * accumulation * micro samples, and the loader brings 1 / factor of them."""

    ranks: int
    accumulation: int
    """Micro-batches a rank takes one after the other before the optimizer steps."""
    micro: int
    """Samples through the network at once, on each rank."""
    factor: int = 1
    """Replay factor; divides `micro`."""

    @property
    def batch(self) -> int:
        """Samples of a step on all ranks together."""
        return self.ranks * self.accumulation * self.micro

    @property
    def fresh(self) -> int:
        """Samples in a batch of the loader, on each rank."""
        return self.micro // self.factor

    @property
    def fresh_step(self) -> int:
        """Samples that all loaders together bring to a step."""
        return self.batch // self.factor

    def halved(self) -> Layout:
        """The same step with half the micro-batch and twice the accumulation.

        Raises:
            ValueError: the micro-batch cannot be halved (or no longer holds a multiple of the replay factor).
        """
        if self.micro % 2 or self.micro // 2 % self.factor:
            raise ValueError(
                f"out of GPU memory with a micro-batch of {self.micro}, which cannot be halved any further"
                f"{f' at replay factor {self.factor}' if self.factor > 1 else ''}; take a smaller model."
            )
        return replace(self, micro=self.micro // 2, accumulation=self.accumulation * 2)


def lay_out(batch: int, ranks: int, micro: int, factor: int = 1) -> Layout:
    """The layout whose micro-batch is the largest that divides the rank's share evenly, at most `micro`.

    Raises:
        ValueError: the batch does not divide over the ranks, or the micro-batch not by the replay factor.
    """
    if batch % ranks:
        low = batch // ranks * ranks
        raise ValueError(
            f"`batch` must be a multiple of the number of ranks, {ranks}, got {batch}; "
            f"nearest are {low or ranks} and {low + ranks}."
        )
    share = batch // ranks
    if share % factor:
        raise ValueError(
            f"each rank's share of the batch must be a multiple of the replay factor, {factor}, got {share}."
        )
    fitting = [size for size in range(factor, min(micro, share) + 1, factor) if share % size == 0]
    size = max(fitting, default=factor)
    return Layout(ranks, share // size, size, factor)


SETTLING, MEASURED = 10, 20
"""Steps at the beginning of a stage that do not count (buffers fill, kernels are chosen), and those that then do."""
TOLERATED = 0.05
"""Share of the time that may be spent waiting."""
LARGEST = 8
HELD = 1024
"""Steps whose loader batches are held, if memory and data set allow."""


def hiding_factor(stall: float, micro: int) -> int:
    """The smallest factor R that divides `micro` with which the loader keeps up.

    A loader that makes the network wait for a share `stall` of the time takes that whole time for a batch, and the
    network 1 - stall of it; with 1/R of the batch to load the loader is the faster one if R >= 1 / (1 - stall).
    If no factor up to LARGEST is enough, the largest.
    """
    if stall <= TOLERATED:
        return 1
    possible = [factor for factor in range(2, LARGEST + 1) if micro % factor == 0]
    return next((factor for factor in possible if factor * (1 - stall) >= 1), possible[-1] if possible else 1)


def ring_size(layout: Layout, resolution: int, samples: int, ranks: Ranks) -> int:
    """Steps to hold: HELD, or one pass over the data, or half the free RAM, whichever is least."""
    per_step = ranks.world_size * layout.accumulation  # batches that all ranks together load in a step
    fitting = free_bytes(torch.device("cpu")) // 2 // ring_bytes(per_step, layout.fresh, resolution)
    wanted = max(1, min(HELD, samples // layout.fresh_step, fitting))
    return -int(ranks.largest(-wanted))
