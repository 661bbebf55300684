"""Which sample stands in for one that cannot be decoded."""

from __future__ import annotations

import numpy as np

from .rng import Purpose, below, words

TRIES = 16
"""Stand-ins before a loader gives up: with half of a data set damaged, one sample in 65,536 exhausts them."""


def replacements(seed: int, epoch: int, index: int, n: int) -> list[int]:
    """Sample indices to try in order instead of `index`, of 0 to n - 1; the same in every process and at every call."""
    drawn = words(seed, epoch, np.array([index]), Purpose.REPLACE, TRIES)
    return [int(i) for i in below(drawn, n)[0]]
