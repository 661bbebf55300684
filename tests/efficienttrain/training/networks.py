"""Networks that tests train: tiny, without batch norm (whose result depends on the micro-batch), with dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Tiny(nn.Module):
    """A convolution for any size of input."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 8, 8)
        self.norm = nn.GroupNorm(1, 12)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(12, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop(F.gelu(self.norm(self.stem(images))).mean((2, 3))))


class Positioned(Tiny):
    """With a parameter that depends on the size of the input, as a ViT's position embedding does (and an idle norm)."""

    def __init__(self, num_classes: int, resolution: int) -> None:
        super().__init__(num_classes)
        self.size_multiple = 8
        self.set_input_size((resolution, resolution))

    def set_input_size(self, img_size: tuple[int, int]) -> None:
        cells = img_size[0] // 8
        self.pos_embed = nn.Parameter(torch.zeros(1, cells * cells, 12))

    def forward(self, images: Tensor) -> Tensor:
        cells = self.stem(images).flatten(2).transpose(1, 2) + self.pos_embed
        return self.head(self.drop(F.gelu(cells).mean(1)))


def tiny(num_classes: int) -> nn.Module:
    """See Tiny."""
    return Tiny(num_classes)


def positioned(num_classes: int, resolution: int) -> nn.Module:
    """See Positioned."""
    return Positioned(num_classes, resolution)


def still(num_classes: int) -> nn.Module:
    """Tiny without dropout, whose noise is drawn per micro-batch."""
    network = Tiny(num_classes)
    network.drop.p = 0.0
    return network
