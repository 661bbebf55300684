"""The settings that may change between epochs, and their validation."""

from __future__ import annotations

from dataclasses import dataclass

from .values import in_range, number, unbox

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
    """RandAugment strength, 0 to 10; None: no RandAugment (0 applies it at its weakest)."""
    batch_size: int
    """Samples per batch on each rank."""

    def __post_init__(self) -> None:
        for name in ("resolution", "magnitude", "batch_size"):
            object.__setattr__(self, name, unbox(getattr(self, name)))
        in_range("resolution", self.resolution, SMALLEST, LARGEST)
        if not (self.magnitude is None or (number(self.magnitude) and 0 <= self.magnitude <= 10)):
            raise ValueError(
                f"`magnitude` must be a number from 0 to 10, or None for no RandAugment, got {self.magnitude!r}."
            )
        in_range("batch_size", self.batch_size, 1, 2**20 - 1)
