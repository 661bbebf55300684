"""From a configuration to recipe and schedule: given options, full size, early large batches."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, cast

from efficienttrain.curriculum import BASE, Stage
from efficienttrain.models.size import SMALLEST
from efficienttrain.recipe import BATCH_POWER, Recipe, recipe
from efficienttrain.step_schedule import Schedule
from efficienttrain.training.config import OF_RECIPE, Config


def settle(config: Config, multiple: int = 2) -> Recipe:
    """The model's recipe with the changes in `config`.

    multiple: number that must divide resolutions, if they are scaled to another full size than 224.

    Raises:
        ValueError: unknown curriculum, or a value out of range.
    """
    made = recipe(config.model, config.epochs, config.curriculum)
    given = {name: value for name in OF_RECIPE if (value := getattr(config, name)) is not None}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    for name in ("clip_grad", "ema"):
        given[name] = given.get(name, getattr(made, name)) or None
    if config.warmup is not None:
        given.setdefault("warmup_epochs", None)  # the share replaces the recipe's 20 epochs
    made = replace(made, optimizer=given.get("optimizer", made.optimizer))
    if config.batch:
        made = made.at_batch(config.batch)
    stages = scaled(made.stages, config.size, multiple)
    stages = enlarged(stages, given.get("batch", made.batch), config.early_batch_scale, config.size)
    return replace(made, **given, stages=tuple(replayed(stage, config) for stage in stages))


def rate_and_origin(config: Config, settled: Recipe) -> str:
    """The peak learning rate as text, with its calculation if it follows the batch: "7.81e-06 = 0.004 x 8/4096"."""
    text = f"{settled.lr:.3g}"
    if config.lr is not None or config.batch is None:
        return text
    own = replace(recipe(config.model, config.epochs, config.curriculum), optimizer=settled.optimizer)
    if own.batch == config.batch:
        return text
    share, power = f"{config.batch}/{own.batch}", BATCH_POWER[own.optimizer]
    return f"{text} = {own.lr:.3g} x {share if power == 1 else f'({share})^{power:g}'}"


def lay_steps(recipe: Recipe, size: int, samples: int) -> Schedule:
    """The steps of this recipe over a data set of `samples` images.

    Raises:
        ValueError: a step needs more samples than the data set has.
    """
    largest = max(stage.batch or recipe.batch for stage in recipe.stages)
    if largest > samples:
        raise ValueError(
            f"`batch` must be at most the number of training images, got {largest} for {samples:,} images; "
            f"give a smaller one, --batch {2 ** max(0, (samples // 8).bit_length() - 1)} for example."
        )
    return recipe.schedule(samples, size)


def scaled(stages: tuple[Stage, ...], size: int, multiple: int) -> tuple[Stage, ...]:
    """The curriculum for another full size: resolutions in proportion, rounded to multiples; the last one is `size`."""
    if size == BASE:
        return stages

    least = -(-SMALLEST // multiple) * multiple

    def at(resolution: int) -> int:
        return size if resolution == BASE else max(least, round(resolution * size / BASE / multiple) * multiple)

    return tuple(replace(stage, resolution=at(stage.resolution)) for stage in stages)


def enlarged(stages: tuple[Stage, ...], batch: int, scale: float, size: int) -> tuple[Stage, ...]:
    """Early large batch: stages below full size get `scale` times as many samples per step."""
    if scale == 1:
        return stages
    return tuple(
        replace(stage, batch=round((stage.batch or batch) * scale)) if stage.resolution < size else stage
        for stage in stages
    )


def replayed(stage: Stage, config: Config) -> Stage:
    """The stage with the replay buffer that `config` requests; "auto" begins without a buffer and measures."""
    if config.replay != "recipe":
        return replace(stage, replay=1, replay_buffer=0)
    if config.replay_buffer and stage.replay > 1:
        return replace(stage, replay_buffer=config.replay_buffer)
    return stage


def rate_factor(config: Config, stage: Stage) -> float:
    """Factor of the learning rate in a stage with an early large batch.

    Our interpretation, because the paper's rule is not published. "linear" follows Goyal et al. (arXiv 1706.02677),
    "sqrt" is the rule for Adam's noise (Malladi et al., arXiv 2205.10287).
    """
    if config.early_batch_scale == 1 or stage.resolution >= config.size:
        return 1.0
    return config.early_batch_scale ** (1.0 if config.early_batch_rule == "linear" else 0.5)


IDENTITY = (
    "size", "seed", "early_batch_rule", "replay", "init", "pretrained", "pool", "head_scale",
    "target", "loss", "class_weights", "sample_weights",
)  # fmt: skip
"""Fields of a configuration that determine the result and are not in the recipe."""


def identity(config: Config, recipe: Recipe, classes: int, samples: int) -> dict[str, Any]:
    """All settings that determine a training's result, as JSON. They must be equal when a checkpoint is resumed.

    Ranks, micro-batches and the machine are not included; they may change when a run resumes.
    """
    given = {name: getattr(config, name) for name in IDENTITY}
    settled = {name: value for name, value in asdict(recipe).items() if name != "micro_batch"}
    return cast("dict[str, Any]", json.loads(json.dumps({**settled, **given, "classes": classes, "samples": samples})))
