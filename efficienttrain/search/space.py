"""The types of a search: choices of a stage, the space of choices, probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from efficienttrain.curriculum import BASE, Stage
from efficienttrain.recipe import PACES


class Choice(NamedTuple):
    """The settings of one stage."""

    resolution: int
    """Pixels, for a full size of 224."""
    magnitude: float
    """RandAugment strength, 0 to 10."""


@dataclass(frozen=True)
class Space:
    """All curricula that a search may find: neither resolution nor magnitude decreases from one stage to the next.

    Raises:
        ValueError: a value out of its range.
    """

    stages: int
    """At least 1."""
    resolutions: tuple[int, ...]
    """Candidates of every stage, rising; the last one is the full size, 224."""
    magnitudes: tuple[float, ...] = ()
    """Candidates of every stage, rising; none: the released pyramid, see `pyramid`."""
    pace: str = "compute"
    """The quantity divided equally between stages: "compute" (EfficientTrain++), or "passes" over the data (2023)."""

    def __post_init__(self) -> None:
        if self.stages < 1:
            raise ValueError(f"`stages` must be at least 1, got {self.stages}.")
        if self.pace not in PACES:
            raise ValueError(f"`pace` must be one of {', '.join(PACES)}, got {self.pace!r}.")
        for name in ("resolutions", "magnitudes"):
            if list(found := getattr(self, name)) != sorted(set(found)):
                ascending = _listed(sorted(set(found)))
                raise ValueError(f"`{name}` must be ascending, got {_listed(found)}; give {ascending}.")
        if not self.resolutions or self.resolutions[-1] != BASE:
            raise ValueError(
                f"the last of `resolutions` must be the full size, {BASE}, got {_listed(self.resolutions)}."
            )
        for choice in self.choices(self.stages - 1):
            self.stage(choice)

    def pyramid(self, number: int) -> float:
        """Magnitude of stage `number` if it is not searched: 0 to 9 for ten stages, 1, 3, 5, 7, 9 for five."""
        return max(0.0, 10 * (number + 1) / self.stages - 1)

    def choices(self, number: int, least: Choice | None = None, most: Choice | None = None) -> list[Choice]:
        """Choices for stage `number`, smallest first; resolution and magnitude are both from `least` to `most`."""
        return [
            Choice(resolution, magnitude)
            for resolution in self.resolutions
            for magnitude in (self.magnitudes or (self.pyramid(number),))
            if least is None or (resolution >= least.resolution and magnitude >= least.magnitude)
            if most is None or (resolution <= most.resolution and magnitude <= most.magnitude)
        ]

    def tied(self, number: int, choice: Choice) -> tuple[Choice, ...]:
        """Stages 0 to `number` with the same choice (but the magnitudes of `pyramid` if they are not searched)."""
        if self.magnitudes:
            return (choice,) * (number + 1)
        return tuple(choice._replace(magnitude=self.pyramid(n)) for n in range(number + 1))

    def stage(self, choice: Choice) -> Stage:
        """The stage of this choice; its `compute` is a share of the cost of a training at full size."""
        share = 1.0 if self.pace == "compute" else (choice.resolution / BASE) ** 2
        return Stage(choice.resolution, choice.magnitude, share / self.stages)


@dataclass(frozen=True)
class Probe:
    """One measurement of a search: the score of a network after training through these stages."""

    choices: tuple[Choice, ...]
    """The first stages of a curriculum, or all."""
    stage: int | None
    """The stage that is being decided; None for the baseline."""
    begins: int = 0
    """Number of decided stages: the probe continues from the checkpoint of the probe with exactly these stages."""

    @property
    def key(self) -> str:
        """The name of the probe and of its folder."""
        return name_of(self.choices)

    @property
    def parent(self) -> str | None:
        """The key of the probe whose checkpoint this one continues from."""
        return name_of(self.choices[: self.begins]) if self.begins else None


def name_of(choices: Sequence[Choice]) -> str:
    """The name of choices, for example "96m1-160m3"."""
    return "-".join(f"{resolution}m{magnitude:g}" for resolution, magnitude in choices)


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values) or "none"
