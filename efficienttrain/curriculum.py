"""Curricula as data: stages with a resolution, a magnitude and a share of the compute.

Easier patterns come first: low spatial frequencies (small resolution) and weak augmentation (small magnitude).
Stages divide *compute*, not epochs: the cost of a network per image is about proportional to B squared, so an epoch at
B = 96 costs (96/224)^2 = 0.18 of one at 224, and the same compute allows 5.4 times as many epochs.

Sources: EfficientTrain++ (TPAMI 2024, arXiv 2405.08768) and EfficientTrain (ICCV 2023, arXiv 2211.09703), with their
released launch scripts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from numbers import Integral, Real

BASE = 224  # resolution at which a budget of epochs is counted


# As in `loaders.values`, which is not imported: printing help or a schedule must not need NumPy.
def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Stage:
    """One step of the curriculum.

    Raises:
        ValueError: a value out of its range.
    """

    resolution: int
    """Side of the input in pixels, and the number of low-frequency components kept per axis; even, 16 to 1024."""
    magnitude: float | None
    """RandAugment strength, 0 to 10; None for no RandAugment (0 is not the identity)."""
    compute: float
    """Share of the whole training's compute, more than 0 and at most 1; the shares of a curriculum add up to 1."""
    batch: int | None = None
    """Samples per optimizer step on all ranks together; None: the recipe's."""
    replay: int = 1
    """Average number of uses of a decoded sample with the replay buffer; 1: no buffer."""
    replay_buffer: int = 0
    """Length of the replay buffer: the number of steps whose loader batches it holds; 0: no buffer."""

    def __post_init__(self) -> None:
        if not _whole(self.resolution) or not 16 <= self.resolution <= 1024 or self.resolution % 2:
            raise ValueError(f"`resolution` must be an even number from 16 to 1024, got {self.resolution!r}.")
        if self.magnitude is not None and not (_number(self.magnitude) and 0 <= self.magnitude <= 10):
            raise ValueError(f"`magnitude` must be from 0 to 10, or None for no RandAugment, got {self.magnitude!r}.")
        if not _number(self.compute) or not 0 < self.compute <= 1:
            raise ValueError(f"`compute` must be a share, more than 0 and at most 1, got {self.compute!r}.")
        if self.batch is not None and not (_whole(self.batch) and self.batch >= 1):
            raise ValueError(f"`batch` must be a whole number of samples, at least 1, got {self.batch!r}.")
        if not _whole(self.replay) or self.replay < 1:
            raise ValueError(f"`replay` must be a whole number, at least 1 (no buffer), got {self.replay!r}.")
        if not _whole(self.replay_buffer) or self.replay_buffer < 0 or (self.replay_buffer == 0 and self.replay > 1):
            raise ValueError(
                f"`replay_buffer` must be at least 1 step if `replay` is more than 1, got {self.replay_buffer!r}."
            )


def tenths(resolutions: Sequence[int]) -> tuple[Stage, ...]:
    """Equal shares of the compute, with the magnitude rising by one from stage to stage: 0 to 9 for ten."""
    return tuple(Stage(resolution, magnitude, 1 / len(resolutions)) for magnitude, resolution in enumerate(resolutions))


GENERAL = tenths([96] * 2 + [160] * 4 + [224] * 4)
"""EfficientTrain++ as released for most models; the default for all others."""

ICCV = tuple(
    Stage(resolution, magnitude, (resolution / BASE) ** 2 / sum((b / BASE) ** 2 for b in (160, 160, 160, 192, 224)))
    for resolution, magnitude in ((160, 1), (160, 3), (160, 5), (192, 7), (224, 9))
)
"""EfficientTrain of 2023: five equal shares of the *epochs*, hence unequal shares of the compute."""

LINEAR = tenths([96, 96, 128, 128, 160, 160, 192, 192, 224, 224])
"""A straight line from 96 to 224 in multiples of 32."""

STEP = tenths([128] * 5 + [224] * 5)
"""One step, in the middle of the compute."""

BASELINE = (Stage(BASE, 9, 1.0),)
"""No curriculum: full resolution and full augmentation throughout."""


def epochs_of(stage: Stage, budget_epochs: float) -> float:
    """Passes over the data that `stage` makes when the whole training may cost `budget_epochs` passes at 224 pixels.

    The result is not a whole number: the trainer rounds to steps, not to epochs. The sum over `GENERAL` with a budget
    of 200 is 454 passes at the cost of 200.

    Raises:
        ValueError: a budget of 0.
    """
    if budget_epochs <= 0:
        raise ValueError(f"`budget_epochs` must be more than 0, got {budget_epochs}.")
    return budget_epochs * stage.compute * (BASE / stage.resolution) ** 2


def check_stages(stages: Sequence[Stage]) -> None:
    """Checks that these stages are a complete curriculum.

    Raises:
        ValueError: no stage, or shares of compute that do not add up to 1 (to a thousandth).
    """
    total = sum(stage.compute for stage in stages)
    if abs(total - 1) > 1e-3:
        raise ValueError(f"the `compute` shares of a curriculum's stages must add up to 1, got {total:.4g}.")


def merged(stages: Iterable[Stage], magnitude: float | None = None) -> tuple[Stage, ...]:
    """Sets every stage's magnitude to `magnitude` and joins neighbours that are then equal, adding their compute."""
    groups = groupby(stages, key=lambda stage: replace(stage, magnitude=magnitude, compute=1.0))
    return tuple(replace(alike, compute=min(1.0, sum(stage.compute for stage in group))) for alike, group in groups)


def table(stages: Iterable[Stage], budget_epochs: float) -> str:
    """The curriculum as text: one line per stage, and a line of sums."""
    stages = tuple(stages)
    lines = ["stage  resolution  magnitude  compute  epochs"]
    for position, stage in enumerate(stages):
        magnitude = "none" if stage.magnitude is None else f"{stage.magnitude:g}"
        epochs = epochs_of(stage, budget_epochs)
        lines.append(f"{position:5}  {stage.resolution:9}  {magnitude:>9}  {stage.compute:7.1%}  {epochs:6.1f}")
    compute, epochs = sum(s.compute for s in stages), sum(epochs_of(s, budget_epochs) for s in stages)
    lines.append(f"{'all':>5}  {'':9}  {'':9}  {compute:7.1%}  {epochs:6.1f}")
    return "\n".join(lines)
