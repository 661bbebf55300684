"""The default evaluation rule: train the stages, fine-tune briefly at full size, measure top-1 at full size.

A greedy search's probe is a separate training. A sequential search's probe continues from an earlier probe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from efficienttrain.curriculum import BASE
from efficienttrain.custom import KINDS, write_curriculum
from efficienttrain.recipe import Recipe
from efficienttrain.search.task import Task
from efficienttrain.step_schedule import Schedule
from efficienttrain.training import checkpoint, train
from efficienttrain.training.checkpoint import Checkpoint
from efficienttrain.training.config import Config
from efficienttrain.training.distributed import Ranks, group
from efficienttrain.training.resolve import settle
from efficienttrain.training.trainer import Trainer

SETTINGS = [name for name in KINDS if name != "micro_batch"]


def top1(task: Task) -> float:
    """Share of correctly classified evaluation images at full size, of the network or of its averaged weights.

    Every probe uses the recipe of the whole training (the model's recipe for `config["epochs"]`), so warm-up, drop path
    and so on do not depend on the candidate.

    Raises:
        ValueError, OSError, LoaderError: as `training.train`.
    """
    config, span = prepared(task)
    score = train(config).best if task.pace == "passes" else probe(task, config, span)
    assert score is not None
    return score


def probe(task: Task, config: Config, span: float) -> float | None:
    """The score of a sequential search's probe; its checkpoint remains in the task's folder."""
    with group(config.device) as ranks:
        prober = Prober(config, ranks, task, span)
        with prober:
            score = prober.run().best
        prober.keep()
    return score


def prepared(task: Task) -> tuple[Config, float]:
    """The configuration of the probe's training, and its compute as a share of the whole training's."""
    asked = Config(**{**task.config, "out": str(task.folder / "run"), "progress": False, "evaluate_every": 1.0})
    if asked.val is None:
        raise ValueError("`val` must name images for evaluation, got none; give --val.")
    stages = task.stages
    if task.tune:
        stages += (replace(stages[-1], resolution=BASE, compute=task.tune),)
    span = sum(stage.compute for stage in stages)
    whole = settle(replace(asked, curriculum="auto" if task.pace == "compute" else "none"))
    path = task.folder / "curriculum.yaml"
    settings = {name: getattr(whole, name) for name in SETTINGS}
    # One curve for all candidates: the curve of the released scripts would depend on the stages' resolutions.
    write_curriculum(path, stages, settings | {"pace": task.pace, "lr_schedule": "continuous"})
    # A checkpoint within the fine-tune would remove the one before it.
    saved = 1.0 if task.tune else asked.save_every
    return replace(asked, epochs=asked.epochs * span, curriculum=str(path), save_every=saved), span


KEPT = "stage.pt"
"""The checkpoint at the end of a probe's last stage, before its fine-tune."""


@dataclass(frozen=True)
class Opening(Schedule):
    """The first stages of a training with the learning rate of the whole training, then a fine-tune.

    In the last stage, the fine-tune, the rate decreases linearly from its present value to the smallest.
    """

    span: float = 1.0
    """Compute of these stages and the fine-tune, as a share of the whole training."""
    tune: float = 0.0
    """Compute of the fine-tune, as a share of the whole training."""

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
        """The schedule with the rate of the whole training, which is continuous (see `top1_rule.prepared`)."""
        laid = super().lay_steps()
        return Opening(laid.stages, laid.epochs, laid.samples, laid.batch, span=self.span, tune=self.task.tune)

    def find(self) -> Checkpoint | None:
        """The probe's own checkpoint, or that of the probe before it, without its log and scores."""
        state = super().find()
        if state is None and self.task.parent is not None:
            state = replace(checkpoint.load(self.task.parent / KEPT), best=None, log=0)
            data = {key: self.identity[key] for key in ("classes", "samples")}  # other values differ between probes
            checkpoint.check_identity(state.identity, data, self.task.parent)
        return state

    def keep(self) -> None:
        """Keeps the checkpoint at the end of the last stage for the next stage's probes, and deletes all others."""
        turn = sum(self.schedule.steps[:-1]) if self.task.tune else self.schedule.total_steps
        made = checkpoint.place(self.out, turn)
        if made.exists():
            made.replace(self.task.folder / KEPT)
        discard(self.out)


def discard(run: Path) -> None:
    """Removes all checkpoints of a run."""
    for path in (*checkpoint.checkpoints(run), run / checkpoint.BEST):
        path.unlink(missing_ok=True)
