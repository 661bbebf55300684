"""The epoch counts of the released scripts: whole loader epochs, in a unit that changes with the stage.

For each stage the scripts launch a training whose `--epochs` is the length of a run at that resolution alone (1088 at
96 pixels for a budget of 200), and stop it at the stage's share (108, 217, ...). The epochs done are converted into the
next stage's unit by the square of the resolution. Each number is rounded, so a stage lasts 20 or 21 epochs of 224
pixels, and the warm-up (20 epochs of each stage's own unit) is another share of the run in every unit.

`Recipe.schedule` trains by these numbers if the recipe's `lr_schedule` is "released", see step_schedule.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from efficienttrain.curriculum import BASE, Stage, epochs_of

LONGEST_WARMUP = 0.2
"""Largest share of warm-up in a run: DeiT's share, and that of 20 epochs in 100."""


@dataclass(frozen=True)
class OfficialStage:
    """A stage, counted in loader epochs at its resolution."""

    whole: int
    """The `--epochs` that the script prints: the length of a run of this stage alone."""
    begin: int
    end: int
    replay: int
    resolution: int
    warmup: int = 0
    """The script's `--warmup_epochs`."""
    start: float = 0.0
    """Share of the whole training's compute that is spent when the stage begins, as counted by the script."""

    @property
    def loaded(self) -> int:
        """Passes over the data that the loader makes."""
        return self.end - self.begin

    @property
    def passes(self) -> int:
        """Passes over the data by the network; more than the loaded ones if samples are replayed."""
        return self.loaded * self.replay

    @property
    def equivalent(self) -> float:
        """Their cost, in epochs at 224 pixels."""
        return self.passes * (self.resolution / BASE) ** 2

    def steps(self, samples: int, batch: int) -> int:
        """Optimizer steps, given the numbers of images and of samples per step; each epoch drops its partial batch."""
        return self.loaded * (samples * self.replay // batch)

    def at(self, done: float) -> tuple[float, float]:
        """Position on the learning rate's curve when `done` (0 to 1) of this stage is done.

        Returns:
            The share of the run, and the share of it that is warm-up, both of a run of this stage alone.
        """
        return (self.begin + done * self.loaded) / self.whole, self.warmup / self.whole


def official(
    stages: Sequence[Stage],
    epochs: float,
    pace: str = "compute",
    warmup_epochs: float | None = 20,
    warmup: float = 0.0,
) -> tuple[OfficialStage, ...]:
    """The epochs that the released scripts would train.

    Args:
        stages: the curriculum.
        epochs: the budget, as given to the script: equivalent epochs, or for the pace "passes" (2023) passes.
        pace: of the recipe.
        warmup_epochs: warm-up in passes over the data at each stage's own resolution; None: the share `warmup`.
        warmup: warm-up as a share of the run (DeiT: 0.2).

    Source: `_ET_pp_main_*.py`, `utils_buffer.py` (`epoch_scale_ratio`) and the `ET_training.py` of 2023.
    """
    weights = [epochs_of(stage, 1.0) if pace == "passes" else stage.compute for stage in stages]
    sums = list(accumulate(weights))
    made: list[OfficialStage] = []
    begin = 0
    for stage, share in zip(stages, sums, strict=True):
        if pace == "passes":
            run = float(int(epochs))
        else:
            run = epochs * (BASE / stage.resolution) ** 2 / stage.replay
            if made:
                begin = round(begin * made[-1].replay / stage.replay)
                begin = round(begin * made[-1].resolution ** 2 / stage.resolution**2)
        whole = _down(run)
        rising = warmup * run if warmup_epochs is None else min(warmup_epochs / stage.replay, LONGEST_WARMUP * run)
        end = max(begin, _down(whole * share / sums[-1]))
        start = begin / max(1, whole)
        made.append(OfficialStage(whole, begin, end, stage.replay, stage.resolution, _down(rising), start))
        begin = made[-1].end
    if pace == "passes":
        costs = [stage.equivalent for stage in made]
        starts = [cost / sum(costs) for cost in (0.0, *accumulate(costs))][:-1] if any(costs) else [0.0] * len(made)
        made = [replace(stage, start=start) for stage, start in zip(made, starts, strict=True)]
    return tuple(made)


def curve(done: float, warmup: float, peak: float, least: float) -> float:
    """Learning rate when `done` (0 to 1) of a run is done: a line from 0 to `peak`, then half a cosine to `least`."""
    if done < warmup:
        return peak * done / warmup
    wave = 0.5 + 0.5 * math.cos(math.pi * min(1.0, (done - warmup) / (1 - warmup)))
    return least + (peak - least) * wave


def _down(number: float) -> int:
    """Rounds down, but tolerates floating-point errors just below a whole number."""
    return int(round(number, 6))
