"""A curriculum in optimizer steps: the stage and the learning rate of each step.

Progress is the fraction of the *compute* spent, a float. There are two ways to count, chosen by `Recipe.lr_schedule`:

* "released": step for step as in the released scripts. A stage is a whole number of loader epochs (official.py), and
  the warm-up is 20 epochs of each stage's own unit, so the learning rate jumps by a few percent at a new resolution.
  A budget below `WHOLE_EPOCHS` is too small for whole epochs: with such a budget stages get their exact shares, and
  only the warm-up uses the stage's unit.
* "continuous": each stage gets its exact share in steps (rounded once, to whole steps), and the learning rate is one
  continuous function of progress.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from efficienttrain.curriculum import BASE, Stage, check_stages, epochs_of
from efficienttrain.official import LONGEST_WARMUP, OfficialStage, curve

if TYPE_CHECKING:
    from efficienttrain.recipe import Recipe

WHOLE_EPOCHS = 100
"""The smallest budget, in epochs, that "released" counts in whole loader epochs."""


@dataclass(frozen=True)
class Schedule:
    """The steps of a whole training.

    Raises:
        ValueError: stages that are not a complete curriculum, or a budget, data set or batch of size 0.
    """

    stages: tuple[Stage, ...]
    epochs: float
    """Budget of the training, in passes over the data at 224 pixels."""
    samples: int
    """Images in one pass over the data."""
    batch: int
    """Samples per optimizer step on all ranks together, for stages without their own value."""
    official: tuple[OfficialStage, ...] = ()
    """The stages in the released scripts' whole loader epochs; empty: each stage gets its exact share."""

    def __post_init__(self) -> None:
        check_stages(self.stages)
        for name in ("epochs", "samples", "batch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be more than 0, got {getattr(self, name)}.")

    @cached_property
    def passes(self) -> tuple[float, ...]:
        """Passes over the data, per stage."""
        if self.official:
            return tuple(float(stage.passes) for stage in self.official)
        return tuple(epochs_of(stage, self.epochs) for stage in self.stages)

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Optimizer steps per stage, at least one."""
        if self.official:
            return tuple(
                max(1, counted.steps(self.samples, stage.batch or self.batch))
                for stage, counted in zip(self.stages, self.official, strict=True)
            )
        return tuple(
            max(1, round(passes * self.samples / (stage.batch or self.batch)))
            for stage, passes in zip(self.stages, self.passes, strict=True)
        )

    @cached_property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return sum(self.steps)

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """The first step of each stage, and the number of steps."""
        return (0, *accumulate(self.steps))

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """Progress at the start of each stage, and 1."""
        if self.official:
            return (*(stage.start for stage in self.official), 1.0)
        sums = (0.0, *accumulate(stage.compute for stage in self.stages))
        return tuple(part / sums[-1] for part in sums)

    def stage_of(self, step: int) -> int:
        """The stage that step number `step` (from 0) belongs to; the last one after the end."""
        return min(bisect_right(self._starts, step), len(self.stages)) - 1

    def progress(self, step: int) -> float:
        """Fraction of the compute spent before step number `step` (from 0), 0 to 1."""
        if step >= self.total_steps:
            return 1.0
        stage = self.stage_of(step)
        begin, end = self.bounds[stage : stage + 2]
        return begin + (end - begin) * (step - self._starts[stage]) / self.steps[stage]

    def stage_at(self, progress: float) -> int:
        """The stage at `progress`; at a boundary of two stages, the later one."""
        return min(bisect_right(self.bounds, progress), len(self.stages)) - 1

    def seen(self, progress: float) -> float:
        """Passes over the data that are complete at `progress`."""
        stage = self.stage_at(progress)
        begin, end = self.bounds[stage : stage + 2]
        return sum(self.passes[:stage]) + self.passes[stage] * (progress - begin) / (end - begin)

    def progress_after(self, passes: float) -> float:
        """Fraction of the compute spent after this number of passes over the data: the inverse of `seen`."""
        sums = (0.0, *accumulate(self.passes))
        stage = min(bisect_right(sums, passes), len(self.stages)) - 1
        begin, end = self.bounds[stage : stage + 2]
        return min(1.0, begin + (end - begin) * (passes - sums[stage]) / self.passes[stage])

    def lr(self, progress: float, recipe: Recipe) -> float:
        """Learning rate at `progress`: linear from 0 to the recipe's `lr`, then half a cosine down to its `min_lr`."""
        return curve(*self._curve_at(progress, recipe), recipe.lr, recipe.min_lr)

    def weight_decay(self, step: int, recipe: Recipe) -> float:
        """Weight decay of step number `step`: constant, or half a cosine to the recipe's final value."""
        if recipe.weight_decay_end is None:
            return recipe.weight_decay
        done, _ = self._curve_at(self.progress(step), recipe)
        return curve(done, 0.0, recipe.weight_decay, recipe.weight_decay_end)

    def _curve_at(self, progress: float, recipe: Recipe) -> tuple[float, float]:
        """The completed share of the run that the curve spans, and the share of this run that is warm-up."""
        number = self.stage_at(progress)
        if self.official:
            begin, end = self.bounds[number : number + 2]
            return self.official[number].at((progress - begin) / (end - begin))
        done = progress if recipe.pace == "compute" else self.seen(progress) / sum(self.passes)
        if recipe.lr_schedule == "continuous" or recipe.warmup_epochs is None:
            return done, recipe.warmup
        whole = sum(self.passes)
        if recipe.pace == "compute":
            whole = self.epochs * (BASE / self.stages[number].resolution) ** 2
        return done, min(LONGEST_WARMUP, recipe.warmup_epochs / whole)
