"""`--replay auto`: the smallest replay factor at which the network does not wait for the loader, by measured waits."""

from __future__ import annotations

import torch

from efficienttrain._loaders import free_bytes, ring_bytes
from efficienttrain.training.batch_layout import Layout
from efficienttrain.training.distributed import Ranks

SETTLING, MEASURED = 10, 20
"""Steps at the beginning of a stage that are not measured (buffers fill, kernels are chosen); measured steps after."""
TOLERATED = 0.05
"""Tolerated share of waiting time."""
LARGEST = 8
HELD = 1024
"""Steps whose loader batches are held, if memory and data set are large enough."""


def hiding_factor(stall: float, micro: int) -> int:
    """The smallest factor R that divides `micro` and makes the loader as fast as the network.

    If the network waits for a share `stall` of the time, the loader needs the whole time for a batch, and the network
    1 - stall of it. With 1/R of the batch to load, the loader is as fast as the network if R >= 1 / (1 - stall).
    If no factor up to LARGEST is enough, returns the largest factor.
    """
    if stall <= TOLERATED:
        return 1
    possible = [factor for factor in range(2, LARGEST + 1) if micro % factor == 0]
    return next((factor for factor in possible if factor * (1 - stall) >= 1), possible[-1] if possible else 1)


def ring_size(layout: Layout, resolution: int, samples: int, ranks: Ranks) -> int:
    """Steps to hold: HELD, or one pass over the data, or half of the free RAM, whichever is smallest."""
    per_step = ranks.world_size * layout.accumulation  # batches that all ranks together load in a step
    fitting = free_bytes(torch.device("cpu")) // 2 // ring_bytes(per_step, layout.fresh, resolution)
    wanted = max(1, min(HELD, samples // layout.fresh_step, fitting))
    return -int(ranks.largest(-wanted))
