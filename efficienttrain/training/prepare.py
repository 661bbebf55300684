"""Preparation of a training before its first step, including all checks that can be made early."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from efficienttrain._loaders import Loader, check_memory, free_bytes, ring_bytes
from efficienttrain.curriculum import BASE
from efficienttrain.models import build, check_resolution
from efficienttrain.models.initial import begin_with, fresh_head, scale_head
from efficienttrain.models.size import multiple_of
from efficienttrain.recipe import Recipe
from efficienttrain.step_schedule import Schedule
from efficienttrain.training import data_path
from efficienttrain.training.batch_layout import Layout, lay_out
from efficienttrain.training.choose_objective import check_alike, choose, target_options
from efficienttrain.training.config import Config
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.objective import Objective
from efficienttrain.training.resolve import rate_and_origin
from efficienttrain.training.seeding import key_weights
from efficienttrain.training.train_state import DTYPES, TrainState

BF16_CAPABILITY = 8
"""Compute capability from which a GPU supports bfloat16 (Ampere)."""
MICRO = 128
"""Micro-batch on a CPU if neither the user nor the recipe sets one."""
MOST_MICRO = 512
"""Micro-batch on a GPU if neither sets one and the memory suffices: the largest of the released recipes."""


def multiple(config: Config) -> int:
    """Number that must divide all resolutions when they are scaled to another full size than the model's own."""
    if config.size == BASE:
        return 2
    return math.lcm(2, multiple_of(build(config.model, num_classes=1, resolution=config.size)))


def precision(config: Config, recipe: Recipe, ranks: Ranks) -> str:
    """ "off", "bf16" or "fp16": as configured; by default the best on this GPU if the recipe has mixed precision.

    Raises:
        ValueError: fp16 without a GPU.
    """
    gpu = ranks.device.type == "cuda"
    if config.amp == "fp16" and not gpu:
        raise ValueError('`amp` must be "bf16" or "off" without a GPU, got "fp16".')
    if config.amp != "auto":
        return config.amp
    if not (gpu and recipe.amp):
        return "off"
    # Not `is_bf16_supported()`, which is also True if bfloat16 is emulated, which is slow.
    return "bf16" if torch.cuda.get_device_capability(ranks.device)[0] >= BF16_CAPABILITY else "fp16"


def allow_tf32(precision: str, ranks: Ranks) -> None:
    """Lets float32 matrix products run in TF32 on a GPU if mixed precision is off, for the whole process.

    Linear layers would otherwise run in plain float32, several times slower; convolutions use TF32 by torch's default.
    Pixels are not affected: `loaders.transforms` always computes its products in full precision.
    """
    if ranks.device.type == "cuda" and precision == "off":
        torch.set_float32_matmul_precision("high")


def open_data(
    config: Config, recipe: Recipe, ranks: Ranks, dtype: torch.dtype | None
) -> tuple[Loader, Loader | None, Objective]:
    """The loaders of training and evaluation, and the objective.

    Raises:
        ValueError: the data do not have this target, or the two sets have different targets.
        LoaderError, OSError: the data cannot be read.
    """
    shared = loader_options(config, ranks, dtype)
    half = _delivers_half(ranks, dtype)
    path = data_path.train_options(recipe, config.size, torch.float16 if half else torch.float32)
    shared |= target_options(config.target)
    # Batches of 1, until the feed sets the size of each stage.
    train = Loader(config.data, 1, weights=config.sample_weights, **path, **shared)
    objective = choose(
        train,
        config.target,
        loss=config.loss,
        outputs=config.classes,
        smoothing=config.smoothing or 0.0,
        balanced=config.class_weights is not None,
    )
    if objective.kind == "classes" and len(objective.names) < 2:
        raise ValueError(
            f"training needs images of at least 2 classes, got {len(objective.names)} in {config.data}; "
            "give a folder with one sub-folder per class, or a beton made from one."
        )
    if config.val is None:
        return train, None, objective
    classes = train.classes if objective.field == train.source.label_field else None
    options = {**data_path.eval_options(recipe), **shared, "classes": classes}
    val = Loader(config.val, train=False, drop_last=False, **options)
    check_alike(val, train, objective)
    return train, val, objective


def loader_options(config: Config, ranks: Ranks, dtype: torch.dtype | None) -> dict[str, Any]:
    """Arguments of all loaders of a training; dtype: of autocast."""
    half = _delivers_half(ranks, dtype)
    return {
        "backend": config.backend,
        "device": ranks.device,
        "seed": config.seed,
        "num_workers": config.workers,
        "dtype": "float16" if half else "float32",
    }


def _delivers_half(ranks: Ranks, dtype: torch.dtype | None) -> bool:
    """Whether the loader delivers half precision; dtype: of autocast."""
    return ranks.device.type == "cuda" and dtype is not None


def make_model(config: Config, recipe: Recipe, classes: int, resolution: int, ranks: Ranks) -> nn.Module:
    """The network with its initial weights, the same on every rank, for inputs of `resolution`.

    Raises:
        ValueError: unknown model, a stage's resolution that it does not accept, weights of another network, or missing
            weights.
    """
    key_weights(config.seed)
    model = build(
        config.model,
        num_classes=classes,
        drop_path=recipe.drop_path,
        resolution=resolution,
        head_dropout=recipe.head_dropout,
        zero_init_last=recipe.zero_init_last,
        pool=config.pool,
        pretrained=config.pretrained,
    )
    if config.init is not None:
        scale_head(model, begin_with(model, Path(config.init)), config.head_scale)
    elif config.pretrained:
        scale_head(model, fresh_head(model), config.head_scale)
    for size in sorted({stage.resolution for stage in recipe.stages} | {config.size}):
        check_resolution(model, size)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    return model.to(ranks.device)


def layout_of(
    config: Config, recipe: Recipe, number: int, ranks: Ranks, factor: int | None = None, micro: int | None = None
) -> Layout:
    """The layout of the steps of stage `number`, before a shortage of memory changes it.

    Args:
        factor: of the replay, if it is not the stage's.
        micro: a micro-batch that is known to fit; `config.micro_batch` takes precedence.

    Raises:
        ValueError: the batch is not a multiple of the number of ranks, or a rank's share not of the replay factor.
    """
    stage = recipe.stages[number]
    default = MOST_MICRO if ranks.device.type == "cuda" else MICRO
    advice = recipe.micro_batch[number] if recipe.micro_batch else default
    wanted = config.micro_batch or micro or advice
    return lay_out(stage.batch or recipe.batch, ranks.world_size, wanted, factor or stage.replay)


def check_layouts(config: Config, recipe: Recipe, ranks: Ranks) -> None:
    """Checks that every stage has a valid layout and its replay buffer fits into memory.

    Raises:
        ValueError: a stage has no valid layout, or its buffer does not fit.
    """
    for number, stage in enumerate(recipe.stages):
        layout = layout_of(config, recipe, number, ranks)
        if layout.factor > 1:
            batches = stage.replay_buffer * layout.accumulation
            place = ring_device(batches, layout, stage.resolution, ranks)
            check_memory(batches, layout.fresh, stage.resolution, place)


def ring_device(batches: int, layout: Layout, resolution: int, ranks: Ranks) -> torch.device:
    """Device of a replay buffer: the GPU if it takes less than half of the free memory there, else RAM.

    batches: of the loader, on this rank.
    """
    if ranks.device.type == "cuda" and 2 * ring_bytes(batches, layout.fresh, resolution) < free_bytes(ranks.device):
        return ranks.device
    return torch.device("cpu")


def ring_on_device(batches: int, layout: Layout, resolution: int, ranks: Ranks) -> int:
    """Bytes of the GPU's memory that a replay buffer of `batches` loader batches will take on this rank."""
    if layout.factor == 1 or ring_device(batches, layout, resolution, ranks).type == "cpu":
        return 0
    return ring_bytes(batches, layout.fresh, resolution)


def greet(config: Config, recipe: Recipe, schedule: Schedule, train_state: TrainState, ranks: Ranks, step: int) -> None:
    """Prints the training's settings and device."""
    weights, objective = sum(parameter.numel() for parameter in train_state.model.parameters()), train_state.objective
    precision = next(name for name, dtype in DTYPES.items() if dtype is train_state.dtype)
    ranks.say(
        f"{config.model}: {weights / 1e6:.1f} M parameters; {schedule.samples:,} images, {objective}; "
        f"{ranks.world_size} x {ranks.device.type}, mixed precision {precision}; {schedule.total_steps:,} steps in "
        f"{len(recipe.stages)} stages, batch {recipe.batch}, peak lr {rate_and_origin(config, recipe)}"
        f"{f'; resumes at step {step:,}' if step else ''}.",
    )
