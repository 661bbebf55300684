"""Wall time of a training step, loading included: a contestant that trains on every batch its loader delivers.

The step is the trainer's own (mixing, forward, backward, clipping, update); only the loader differs. As every
contestant of this package it runs in a process of its own, confined to `Job.threads` CPUs, and is stopped between its
windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efficienttrain.recipe import Recipe
from efficienttrain.training import Config, prepare, resolve
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.train_state import DTYPES, TrainState
from loaders import Loader
from loaders.transforms import RandomErasing

from ..harness.contestant import Job, Stream
from ..harness.measure import Child, interleave

LOADERS = ("ours", "torchvision")
MAGNITUDE = 8.0
"""RandAugment's strength in all windows; its cost hardly depends on it. At 9 timm now and then asks Pillow for 0 bits,
which Pillow 12 and later refuse."""
SETTLING = 8
"""Batches without timing at the beginning of a window: as many as a loader may have made ready."""


def measure(jobs: list[Job], rounds: int, seconds: float, work: Any) -> list[list[float]]:
    """Images a second of each job in each round; the rounds are interleaved.

    Args:
        jobs: for `build`.
        rounds: windows of each job.
        seconds: least length of a window.
        work: folder (a Path) for the contestants' logs.

    Raises:
        Failed, Missing: a contestant failed, or lacks its library.
    """
    children: list[Child] = []
    try:
        for job in jobs:
            log = work / f"{job.name}-{job.resolution}.log"
            children.append(Child(f"{__name__}:build", job, log=log))
        answers = interleave(children, rounds, seconds)
    finally:
        for child in children:
            child.close()
    return [[answer["images"] / answer["seconds"] for answer in each] for each in answers]


def build(job: Job) -> Stream:
    """Job options: `loader`, one of LOADERS, and `config`, the fields of the training's `Config`."""
    torch.set_num_threads(max(1, job.threads - 1))
    config = Config(**job.options["config"], workers=job.threads)
    ranks = Ranks(0, 1, torch.device(job.device))
    recipe = resolve.settle(config, prepare.multiple(config))
    precision = prepare.precision(config, recipe, ranks)
    prepare.allow_tf32(precision, ranks)
    loader, _, objective = prepare.open_data(config, recipe, ranks, DTYPES[precision])
    train_state = TrainState(
        prepare.make_model(config, recipe, objective.outputs, job.resolution, ranks), recipe, ranks,
        objective=objective, seed=config.seed, precision=precision, channels_last=config.channels_last,
    )  # fmt: skip
    batches = _ours(job, loader) if job.options["loader"] == "ours" else _torchvision(job, config.size, recipe, ranks)
    return Stream(_trained(train_state, recipe, batches), job, ahead=SETTLING)


def _trained(train_state: TrainState, recipe: Recipe, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    for step, (images, labels) in enumerate(batches):
        train_state.accumulate([(0, images, labels)], 1, step)
        train_state.update(recipe.lr)
        yield images


def _ours(job: Job, loader: Loader) -> Iterator[tuple[Tensor, Tensor]]:
    """The trainer's loader, epoch after epoch."""
    loader.set_stage(resolution=job.resolution, magnitude=MAGNITUDE, batch_size=job.batch_size)
    while True:
        yield from loader


def _torchvision(job: Job, size: int, recipe: Recipe, ranks: Ranks) -> Iterator[tuple[Tensor, Tensor]]:
    """torchvision's DataLoader with the released transforms: crops of full size, RandAugment there, Lanczos to B.

    Erasing is ours, on the batch.
    """
    from torchvision.datasets import ImageFolder

    from ..peers.torchvision_ import endless, official

    data = ImageFolder(job.folder, official(job.resolution, MAGNITUDE, size))
    erase, indices = RandomErasing(recipe.reprob), np.arange(job.batch_size)
    loader = endless(data, job, pin_memory=ranks.device.type == "cuda")
    for step, (images, labels) in enumerate(loader):
        moved = images.to(ranks.device, non_blocking=True), labels.to(ranks.device, non_blocking=True)
        yield erase(moved[0], indices, seed=job.seed, epoch=step), moved[1]
