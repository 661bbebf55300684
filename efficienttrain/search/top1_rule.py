"""The evaluation rule if no other is named: train the stages, fine-tune shortly at full size, measure top-1 there."""

from __future__ import annotations

from dataclasses import replace

from efficienttrain.curriculum import BASE
from efficienttrain.custom import KINDS
from efficienttrain.search.curriculum_file import write_curriculum
from efficienttrain.search.task import Task
from efficienttrain.training import Config, train
from efficienttrain.training.resolve import settle

SETTINGS = [name for name in KINDS if name != "micro_batch"]


def top1(task: Task) -> float:
    """Share of the evaluation images that the network classes rightly, at full size; or that of its averaged weights.

    Every probe has the recipe of the whole training, that is the model's for `config["epochs"]`: warm-up, drop path and
    so on do not depend on the candidate.

    Raises:
        ValueError, OSError, LoaderError: as `training.train`.
    """
    config, span = prepared(task)
    score = train(config).best if task.pace == "passes" else probe(task, config, span)
    assert score is not None
    return score


def probe(task: Task, config: Config, span: float) -> float | None:
    """The score of a sequential search's probe; its checkpoint is left in the task's folder."""
    from efficienttrain.search.sequential_probe import Prober
    from efficienttrain.training.distributed import group

    with group(config.device) as ranks:
        prober = Prober(config, ranks, task, span)
        with prober:
            score = prober.run().best
        prober.keep()
    return score


def prepared(task: Task) -> tuple[Config, float]:
    """The probe as a training, and its compute as a share of the whole one's."""
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
    # One curve for all candidates: that of the released scripts depends on the stages' resolutions.
    write_curriculum(path, stages, settings | {"pace": task.pace, "lr_schedule": "continuous"})
    # A checkpoint within the fine-tune would push out the one before it.
    saved = 1.0 if task.tune else asked.save_every
    return replace(asked, epochs=asked.epochs * span, curriculum=str(path), save_every=saved), span
