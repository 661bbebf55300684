"""The released scripts' bookkeeping, to compare our schedule with: whole loader epochs, in a unit that changes.

For each stage they launch a training whose `--epochs` is the length of a run at that resolution alone (1088 at 96
pixels for a budget of 200), and stop it at its share (108, 217, ...). What is done is converted into the next
stage's unit by the square of the resolution. Each number is rounded, so a stage lasts 20 or 21 epochs of 224 pixels.
Nothing is trained by this; see schedule.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from efficienttrain.curriculum import BASE, Stage


@dataclass(frozen=True)
class OfficialStage:
    """A stage in loader epochs of its own."""

    whole: int
    """The `--epochs` that the script prints: the length of a run of this stage alone."""
    begin: int
    end: int
    replay: int
    resolution: int

    @property
    def loaded(self) -> int:
        """Passes over the data that the loader makes."""
        return self.end - self.begin

    @property
    def passes(self) -> int:
        """Passes over the data that the network sees; more than are loaded if samples are replayed."""
        return self.loaded * self.replay

    @property
    def equivalent(self) -> float:
        """What they cost, in epochs at 224 pixels."""
        return self.passes * (self.resolution / BASE) ** 2

    def steps(self, samples: int, batch: int) -> int:
        """Optimizer steps for so many images and samples a step; what does not fill a batch is dropped each epoch."""
        return self.loaded * (samples * self.replay // batch)


def official(stages: Sequence[Stage], epochs: float, pace: str = "compute") -> tuple[OfficialStage, ...]:
    """The epochs that the released scripts would train.

    Args:
        stages: the curriculum.
        epochs: the budget, as given to the script: equivalent epochs, or for the pace "passes" (2023) passes.
        pace: of the recipe.

    Source: `_ET_pp_main_*.py`, `utils_buffer.py` (`epoch_scale_ratio`) and the `ET_training.py` of 2023.
    """
    made: list[OfficialStage] = []
    begin = 0
    for number, stage in enumerate(stages):
        if pace == "passes":
            whole, share = int(epochs), (number + 1) / len(stages)
        else:
            whole = _down(epochs * (BASE / stage.resolution) ** 2 / stage.replay)
            share = sum(s.compute for s in stages[: number + 1])
            if made:
                begin = round(begin * made[-1].replay / stage.replay)
                begin = round(begin * made[-1].resolution ** 2 / stage.resolution**2)
        end = _down(whole * share)
        made.append(OfficialStage(whole, begin, max(begin, end), stage.replay, stage.resolution))
        begin = made[-1].end
    return tuple(made)


def _down(number: float) -> int:
    """Rounded down, but not by a whole one for a rounding error of floating point."""
    return int(round(number, 6))
