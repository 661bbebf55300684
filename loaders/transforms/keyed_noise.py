"""Keyed normal noise: a pure function of (key, position), computed on the images' device.

Philox, which generates the plan's draws, would take ten rounds of 64-bit arithmetic per pixel. SplitMix64 (Steele, Lea
and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 17) takes one; its keys are the plan's.
The code uses only integer arithmetic and a table, so that every device gives the same bits.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .device import constant

WEYL, FIRST, SECOND = (word - 2**64 for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_LEVELS = 1 << 16


def normal(key: Tensor, position: Tensor, count: int) -> Tensor:
    """Numbers of mean 0 and variance 1, of 65,536 equally likely values; the largest is 4.3.

    Args:
        key: int64 [n], any 64 bits.
        position: int64 [n], 0 or more.
        count: numbers per row; they depend on the row's key and position only.

    Returns:
        float32 [n, count]
    """
    words = -(-count // 4)
    steps = position[:, None] * words + torch.arange(1, words + 1, device=key.device)
    bits = _splitmix(key[:, None] + steps * WEYL).view(torch.int16)[:, :count]
    table = constant(quantiles, device=key.device)
    return table.index_select(0, bits.flatten().int() + _LEVELS // 2).view(-1, count)


def _splitmix(bits: Tensor) -> Tensor:
    """Hashes each 64-bit number. int64 wraps around like uint64; only the shift to the right needs a mask."""
    bits = (bits ^ (bits >> 30 & (1 << 34) - 1)) * FIRST
    bits = (bits ^ (bits >> 27 & (1 << 37) - 1)) * SECOND
    return bits ^ (bits >> 31 & (1 << 33) - 1)


def quantiles() -> NDArray[np.float64]:
    """[65536]: quantiles of the normal distribution at the midpoints of 65,536 equal parts."""
    return torch.special.ndtri((torch.arange(_LEVELS, dtype=torch.float64, device="cpu") + 0.5) / _LEVELS).numpy()
