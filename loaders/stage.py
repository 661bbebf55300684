"""The settings that may change between epochs, and their validation."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

SMALLEST, LARGEST = 16, 1024
"""Resolutions that a loader can make, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The settings of one stage of training.

    Raises:
        ValueError: a value out of range; the message gives the rule and the value.
    """

    resolution: int
    """Side B of the output in pixels: a whole number from 16 to 1024."""
    magnitude: float | None
    """RandAugment strength, 0 to 10; None: no RandAugment at all, which 0 is not."""
    batch_size: int
    """Samples a batch on each rank."""

    def __post_init__(self) -> None:
        if not (_whole(self.resolution) and SMALLEST <= self.resolution <= LARGEST):
            raise ValueError(
                f"`resolution` must be a whole number from {SMALLEST} to {LARGEST}, got {self.resolution!r}."
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
