"""What may change between epochs, and how it is checked."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

SMALLEST, LARGEST = 16, 1024
"""Bandwidths that a loader can make, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage's wishes to the loader.

    Raises:
        ValueError: a value out of range; the message gives the rule and the remedy.
    """

    bandwidth: int
    """Side B of the output in pixels: an even number from 16 to 1024."""
    magnitude: float | None
    """RandAugment strength, 0 to 10; None: no RandAugment at all, which 0 is not."""
    batch_size: int
    """Samples a batch on each rank."""

    def __post_init__(self) -> None:
        b = self.bandwidth
        if not isinstance(b, Integral) or isinstance(b, bool) or b % 2 or not SMALLEST <= b <= LARGEST:
            raise ValueError(f"`bandwidth` must be an even number from {SMALLEST} to {LARGEST}, got {b!r}{_nearest(b)}")
        m = self.magnitude
        if m is not None and (not isinstance(m, Real) or isinstance(m, bool) or not 0 <= m <= 10):
            raise ValueError(f"`magnitude` must be a number from 0 to 10, or None for no RandAugment, got {m!r}.")
        n = self.batch_size
        if not isinstance(n, Integral) or isinstance(n, bool) or not 1 <= n < 2**20:
            raise ValueError(f"`batch_size` must be a whole number from 1 to {2**20 - 1}, got {n!r}.")


def _nearest(b: object) -> str:
    """The remedy for a bandwidth that is not allowed."""
    if not isinstance(b, Real) or isinstance(b, bool) or b != b:
        return "."
    low = int(min(max(b // 2 * 2, SMALLEST), LARGEST))
    high = min(low + 2, LARGEST) if SMALLEST < b < LARGEST else low
    return f"; nearest is {low}." if low == high else f"; nearest are {low} and {high}."
