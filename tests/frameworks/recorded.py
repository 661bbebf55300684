"""What a training loop is shown: the batches of a loader, as one short text each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from loaders import Loader


def make(data: Path, **options: Any) -> Loader:
    """A small loader whose batches tell their samples: 24 images, 4 batches of 5 an epoch in training."""
    settings = {"batch_size": 5, "resolution": 32, "num_workers": 1, "fields": ("image", "label", "index"), **options}
    return Loader(data, **settings)


def text(images: torch.Tensor, indices: torch.Tensor) -> str:
    """Sample indices and a hash of the pixels."""
    made = hashlib.sha256(images.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:12]
    return f"{indices.tolist()} {made}"


def epochs(data: Path, *numbers: int, **options: Any) -> list[str]:
    """The batches of these epochs, by an uninterrupted loader."""
    with make(data, **options) as loader:
        found = []
        for number in numbers:
            loader.set_epoch(number)
            found += [text(images, indices) for images, _, indices in loader]
        return found


class Network(nn.Module):
    """Mean colour to three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.mean((2, 3)))
