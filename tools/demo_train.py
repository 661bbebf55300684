"""The demo's training: a small network walks the curriculum's bandwidths, fed by `loaders.Loader`."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from efficienttrain import Stage, epochs_of
from loaders import Loader

PEAK_RATE, WARM_UP = 4e-3, 0.05  # learning rate of AdamW; share of the compute over which it rises
LOOKS = 4  # evaluations in each stage


@dataclass
class Point:
    """The state of the training after a share of its compute."""

    compute: float
    loss: float
    """Mean training loss since the point before."""
    accuracy: float
    """Share of validation images classed rightly, at this stage's bandwidth."""


@dataclass
class Leg:
    """One stage as it went."""

    bandwidth: int
    images: int = 0
    seconds: float = 0.0
    """Time of all steps; evaluation is left out."""
    waited: float = 0.0
    """Part of it spent waiting for the loader."""
    points: list[Point] = field(default_factory=list)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; halves the side if `stride` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def small_network(classes: int) -> nn.Module:
    """A residual network of about 100,000 parameters for [n, 3, B, B] of any B from 32 on; logits [n, classes]."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, 2, 2, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Block(16, 32, 2),
        Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


def walk(train: Loader, val: Loader, stages: tuple[Stage, ...], budget_epochs: float, seed: int = 0) -> list[Leg]:
    """Train from scratch through `stages`; returns how each went.

    Args:
        train, val: loaders with float32 output; their bandwidth is set here.
        budget_epochs: what the whole may cost, in passes over the training data at 224 pixels.
    """
    torch.manual_seed(seed)
    network = small_network(len(train.classes)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    legs, epochs, before = [], count(), 0.0
    plans = [(stage, max(LOOKS, round(epochs_of(stage, budget_epochs) * len(train)))) for stage in stages]
    with tqdm(total=sum(steps for _, steps in plans), desc="train", unit="step") as bar:
        for stage, steps in plans:
            train.set_stage(bandwidth=stage.bandwidth)
            val.set_stage(bandwidth=stage.bandwidth)
            leg, losses, batches = Leg(stage.bandwidth), [], endless(train, epochs)
            for step in range(1, steps + 1):
                done = before + stage.compute * step / steps
                began = time.perf_counter()
                images, labels = next(batches)
                leg.waited += time.perf_counter() - began
                rate = PEAK_RATE * min(done / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * done))
                losses.append(learn(network, optimizer, images, labels, rate))
                leg.seconds += time.perf_counter() - began
                leg.images += len(labels)
                bar.update()
                if step * LOOKS // steps > (step - 1) * LOOKS // steps:
                    leg.points.append(Point(done, sum(losses) / len(losses), accuracy(network, val)))
                    losses.clear()
                    bar.set_postfix_str(f"{stage.bandwidth} px, accuracy {leg.points[-1].accuracy:.0%}")
            batches.close()
            legs.append(leg)
            before += stage.compute
    return legs


def endless(loader: Loader, epochs: Iterator[int]) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Batches for ever, one epoch after the other; every call begins a new epoch."""
    for epoch in epochs:
        loader.set_epoch(epoch)
        yield from loader


def learn(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, rate: float
) -> float:
    """One step at this learning rate; returns the loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    network.train()
    logits = network(images.to(memory_format=torch.channels_last))
    loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(network: nn.Module, loader: Loader) -> float:
    """Share of the loader's images that the network classes rightly."""
    network.eval()
    right = seen = 0
    for images, labels in loader:
        right += int((network(images.to(memory_format=torch.channels_last)).argmax(dim=1) == labels).sum())
        seen += len(labels)
    return right / seen
