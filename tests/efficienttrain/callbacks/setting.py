"""A short training that every loop is tried on: three resolutions, tiny networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from efficienttrain import Recipe, Stage, recipe
from loaders import Loader
from tests.efficienttrain.training.networks import Positioned, Tiny

STAGES = (Stage(112, 0.0, 0.2), Stage(168, None, 0.3), Stage(224, 5.0, 0.5))
"""32, 48 and 64 pixels at a full size of 64."""


def short(epochs: float = 3.0, stages: tuple[Stage, ...] = STAGES) -> Recipe:
    """A budget of so many epochs, with a short warm-up."""
    return replace(recipe("resnet50", epochs), stages=stages, warmup=0.1, micro_batch=())


def opened(photos: Path, batch_size: int = 4, part: str = "train", collate: str = "tuple") -> Loader:
    return Loader(photos / part, batch_size, num_workers=1, train=part == "train", collate=collate)


def positioned(seed: int = 0) -> Positioned:
    """A network with a parameter whose shape depends on the input."""
    torch.manual_seed(seed)
    network = Positioned(3, 64)
    network.drop.p = 0.0
    return network


def convolution(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = Tiny(3)
    network.drop.p = 0.0
    return network
