"""What may change between epochs, and how it is checked."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

SMALLEST, LARGEST = 16, 1024
"""Resolutions that a loader can make, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage's wishes to the loader.

    Raises:
        ValueError: a value out of range; the message gives the rule and the remedy.
    """

    resolution: int
    """Side B of the output in pixels: an even number from 16 to 1024."""
    magnitude: float | None
    """RandAugment strength, 0 to 10; None: no RandAugment at all, which 0 is not."""
    batch_size: int
    """Samples a batch on each rank."""

    def __post_init__(self) -> None:
        if not (_whole(self.resolution) and self.resolution % 2 == 0 and SMALLEST <= self.resolution <= LARGEST):
            remedy = _nearest(self.resolution)
            raise ValueError(
                f"`resolution` must be an even number from {SMALLEST} to {LARGEST}, got {self.resolution!r}{remedy}"
            )
        if not (self.magnitude is None or (_number(self.magnitude) and 0 <= self.magnitude <= 10)):
            raise ValueError(
                f"`magnitude` must be a number from 0 to 10, or None for no RandAugment, got {self.magnitude!r}."
            )
        if not (_whole(self.batch_size) and 1 <= self.batch_size < 2**20):
            raise ValueError(f"`batch_size` must be a whole number from 1 to {2**20 - 1}, got {self.batch_size!r}.")


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _nearest(b: Any) -> str:
    """The remedy for a resolution that is not allowed."""
    if not _number(b) or b != b:
        return "."
    low = int(min(max(b // 2 * 2, SMALLEST), LARGEST))
    high = min(low + 2, LARGEST) if SMALLEST < b < LARGEST else low
    return f"; nearest is {low}." if low == high else f"; nearest are {low} and {high}."
