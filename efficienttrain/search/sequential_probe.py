"""The trainer's loop as a probe of a sequential search: the first stages of a training, then a fine-tune."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efficienttrain.recipe import Recipe
from efficienttrain.search.task import Task
from efficienttrain.step_schedule import Schedule
from efficienttrain.training import checkpoint
from efficienttrain.training.config import Config
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.trainer import Trainer

KEPT = "stage.pt"
"""The checkpoint at the end of a probe's last stage, before its fine-tune."""


@dataclass(frozen=True)
class Opening(Schedule):
    """The first stages of a training at the learning rate they have in the whole of it, then a fine-tune.

    In the last stage, the fine-tune, the rate falls from where it was to the smallest, along a line.
    """

    span: float = 1.0
    """Compute of all this, as a share of the whole training."""
    tune: float = 0.0
    """That of the fine-tune, likewise."""

    def lr(self, progress: float, recipe: Recipe) -> float:
        """Learning rate at `progress` of these stages and the fine-tune."""
        done, turn = progress * self.span, self.span - self.tune
        if done <= turn:
            return super().lr(done, recipe)
        rest = (self.span - done) / self.tune
        return recipe.min_lr + (super().lr(turn, recipe) - recipe.min_lr) * rest


class Prober(Trainer):
    """One probe."""

    def __init__(self, config: Config, ranks: Ranks, task: Task, span: float) -> None:
        """span: compute of the probe, as a share of the whole training. Raises as `train` does."""
        self.task, self.span = task, span
        super().__init__(config, ranks)

    def lay_steps(self) -> Schedule:
        """With the rate of the whole training, which is continuous (see `top1_rule.prepared`)."""
        laid = super().lay_steps()
        return Opening(laid.stages, laid.epochs, laid.samples, laid.batch, span=self.span, tune=self.task.tune)

    def find(self) -> dict[str, Any] | None:
        """Its own checkpoint, or that of the probe before it, whose log and scores are not its own."""
        state = super().find()
        if state is None and self.task.parent is not None:
            state = {**checkpoint.load(self.task.parent / KEPT), "best": None, "log": 0}
            data = {key: self.identity[key] for key in ("classes", "samples")}  # all else differs from probe to probe
            checkpoint.check_identity(state["identity"], data, self.task.parent)
        return state

    def keep(self) -> None:
        """Keeps the checkpoint of the last stage's end for the next stage's probes, and no other: they are large."""
        turn = sum(self.schedule.steps[:-1]) if self.task.tune else self.schedule.total_steps
        made = checkpoint.place(self.out, turn)
        if made.exists():
            made.replace(self.task.folder / KEPT)
        discard(self.out)


def discard(run: Path) -> None:
    """Removes all checkpoints of a run."""
    for path in (*checkpoint.checkpoints(run), run / checkpoint.BEST):
        path.unlink(missing_ok=True)
