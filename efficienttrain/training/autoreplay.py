"""`--replay auto`: the smallest replay factor that hides the loader, from how long the network waited for it."""

from __future__ import annotations

import torch

from efficienttrain._loaders import free_bytes, ring_bytes
from efficienttrain.training.batch_layout import Layout
from efficienttrain.training.distributed import Ranks

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
    network 1 - stall of it; with 1/R of the batch to load the loader is the faster one where R >= 1 / (1 - stall).
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
