"""The EfficientTrain++ curriculum as data: which bandwidth and magnitude, for which share of the compute.

Easier patterns come first: low spatial frequencies (small bandwidth) and weak augmentation (small magnitude).
Stages share out *compute*, not epochs: a network costs about B squared per image, so an epoch at B = 96 costs
(96/224)^2 = 0.18 of one at 224, and the same compute buys 5.4 times as many.

Source: EfficientTrain++ (TPAMI 2024, arXiv 2405.08768) and its released launch scripts, which give ten tenths of
compute with RandAugment magnitude 0 to 9 and, for most models, the bandwidths 96 x2, 160 x4, 224 x4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

BASE = 224  # bandwidth at which a budget of epochs is counted


@dataclass(frozen=True)
class Stage:
    """One step of the curriculum."""

    bandwidth: int
    """Side of the input in pixels, and the number of low-frequency components kept per axis; even, 16 to 1024."""
    magnitude: int | None
    """RandAugment strength, 0 to 10; None for no RandAugment (0 is not the identity)."""
    compute: float
    """Share of the whole training's compute, more than 0 and at most 1; the shares of a curriculum add up to 1."""

    def __post_init__(self) -> None:
        if not 16 <= self.bandwidth <= 1024 or self.bandwidth % 2:
            raise ValueError(f"`bandwidth` must be an even number from 16 to 1024, got {self.bandwidth}")
        if self.magnitude is not None and not 0 <= self.magnitude <= 10:
            raise ValueError(f"`magnitude` must be from 0 to 10, or None for no RandAugment, got {self.magnitude}")
        if not 0 < self.compute <= 1:
            raise ValueError(f"`compute` must be a share, more than 0 and at most 1, got {self.compute}")


GENERAL: tuple[Stage, ...] = tuple(
    Stage(bandwidth, magnitude, 0.1) for magnitude, bandwidth in enumerate([96] * 2 + [160] * 4 + [224] * 4)
)


def epochs_of(stage: Stage, budget_epochs: float) -> float:
    """Passes over the data that `stage` makes when the whole training may cost `budget_epochs` passes at 224 pixels.

    Not a whole number: the trainer rounds, to steps rather than to epochs. Summed over `GENERAL` with a budget
    of 200 this gives 454 passes at the cost of 200.
    """
    if budget_epochs <= 0:
        raise ValueError(f"`budget_epochs` must be more than 0, got {budget_epochs}")
    return budget_epochs * stage.compute * (BASE / stage.bandwidth) ** 2


def merged(stages: Iterable[Stage], magnitude: int | None = None) -> tuple[Stage, ...]:
    """Set every stage's magnitude to `magnitude` and join neighbours of equal bandwidth, adding up their compute."""
    groups = groupby(stages, key=lambda stage: stage.bandwidth)
    return tuple(
        Stage(bandwidth, magnitude, min(1.0, sum(stage.compute for stage in group))) for bandwidth, group in groups
    )


def table(stages: Iterable[Stage], budget_epochs: float) -> str:
    """The curriculum as text: one line a stage, and a line of sums."""
    stages = tuple(stages)
    lines = ["stage  bandwidth  magnitude  compute  epochs"]
    for number, stage in enumerate(stages):
        magnitude = "none" if stage.magnitude is None else str(stage.magnitude)
        epochs = epochs_of(stage, budget_epochs)
        lines.append(f"{number:5}  {stage.bandwidth:9}  {magnitude:>9}  {stage.compute:7.1%}  {epochs:6.1f}")
    compute, epochs = sum(s.compute for s in stages), sum(epochs_of(s, budget_epochs) for s in stages)
    lines.append(f"{'all':>5}  {'':9}  {'':9}  {compute:7.1%}  {epochs:6.1f}")
    return "\n".join(lines)
