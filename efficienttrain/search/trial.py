"""The evaluation rule if no other is named: train the stages, fine-tune shortly at full size, measure top-1 there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from efficienttrain.curriculum import BASE
from efficienttrain.custom import KINDS
from efficienttrain.recipe import Recipe
from efficienttrain.schedule import Schedule
from efficienttrain.search.found import write_curriculum
from efficienttrain.search.task import Task
from efficienttrain.training import Config
from efficienttrain.training.resolve import identity, settle

SETTINGS = [name for name in KINDS if name != "micro_batch"]
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


def top1(task: Task) -> float:
    """Share of the evaluation images that the network classes rightly, at full size; or that of its averaged weights.

    Every probe has the recipe of the whole training, that is the model's for `config["epochs"]`: warm-up, drop path and
    so on do not depend on the candidate.

    Raises:
        ValueError, OSError, LoaderError: as `training.train`.
    """
    from efficienttrain.training.distributed import group
    from efficienttrain.training.loop import Trainer

    config, span = prepared(task)
    if task.parent is not None:
        branch(task.parent / KEPT, config)
    with group(config.device) as ranks, Trainer(config, ranks) as trainer:
        laid = trainer.schedule
        if task.pace == "compute":
            trainer.schedule = Opening(laid.stages, laid.epochs, laid.samples, laid.batch, span, task.tune)
        score = trainer.run().best
    assert score is not None
    if task.pace == "compute":
        keep(task.folder, Path(config.out), sum(laid.steps[:-1]) if task.tune else laid.total_steps)
    return score


def prepared(task: Task) -> tuple[Config, float]:
    """The probe as a training, and its compute as a share of the whole one's."""
    asked = Config(**{**task.config, "out": str(task.folder / "run"), "progress": False, "evaluate_every": 1.0})
    if asked.val is None:
        raise ValueError("`val` must name images for evaluation, got none; give --val.")
    stages = task.stages
    if task.tune:
        stages += (replace(stages[-1], bandwidth=BASE, compute=task.tune),)
    span = sum(stage.compute for stage in stages)
    whole = settle(replace(asked, curriculum="auto" if task.pace == "compute" else "none"))
    path = task.folder / "curriculum.yaml"
    write_curriculum(path, stages, {name: getattr(whole, name) for name in SETTINGS} | {"pace": task.pace})
    # A checkpoint within the fine-tune would push out the one before it.
    saved = 1.0 if task.tune else asked.save_every
    return replace(asked, epochs=asked.epochs * span, curriculum=str(path), save_every=saved), span


def branch(parent: Path, config: Config) -> None:
    """Makes a run at `config.out` that goes on from another's checkpoint, unless there is a run."""
    from efficienttrain.training import checkpoint, prepare

    out = Path(config.out)
    if checkpoint.checkpoints(out):
        return
    state = checkpoint.load(parent)
    recipe = settle(config, prepare.multiple(config))
    told = state["identity"]
    state["identity"] = identity(config, recipe, told["classes"], told["samples"])
    out.mkdir(parents=True, exist_ok=True)
    checkpoint.save(out, state["step"], {**state, "best": None, "log": 0})


def keep(folder: Path, run: Path, step: int) -> None:
    """Keeps the checkpoint of that step for the next stage's probes, and no other: they are large."""
    from efficienttrain.training import checkpoint

    made = run / f"step_{step:08}.pt"
    if made.exists():
        made.replace(folder / KEPT)
    for path in (*checkpoint.checkpoints(run), run / checkpoint.BEST):
        path.unlink(missing_ok=True)
