"""Networks small enough to train on two cores: one with convolutions, one with attention."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


def convnet(num_classes: int, width: int = 112) -> nn.Module:
    """A residual network for [n, 3, B, B] of any B from 32 on; logits [n, classes]; 285 `width` ** 2 parameters."""
    return nn.Sequential(
        nn.Conv2d(3, width, 5, 2, 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Block(width, 2 * width, 2),
        Block(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )


def narrow_convnet(num_classes: int) -> nn.Module:
    """A twelfth of it, for a search, which is many trainings."""
    return convnet(num_classes, width=32)


def small_convnet(num_classes: int) -> nn.Module:
    """A quarter of that, for a demonstration."""
    return convnet(num_classes, width=16)


def vit(num_classes: int, drop_path: float = 0.0, resolution: int = 224, width: int = 192, depth: int = 3) -> nn.Module:
    """A ViT with patches of 8 pixels and heads of 32 channels; 1.4 million parameters at 64 pixels."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=resolution,
        patch_size=8,
        embed_dim=width,
        depth=depth,
        num_heads=width // 32,
        num_classes=num_classes,
        drop_path_rate=drop_path,
    )


def narrow_vit(num_classes: int, drop_path: float = 0.0, resolution: int = 224) -> nn.Module:
    """A seventh of it, for pre-training."""
    return vit(num_classes, drop_path, resolution, width=64, depth=3)


class ViTWithConvStem(nn.Module):
    """A ViT whose patches of 16 pixels come from four convolutions, as in Xiao et al., arXiv 2106.14881.

    From a few thousand photographs, plain patches learn too slowly. The position embedding is a 7 x 7 grid,
    interpolated to the grid of the input, so any multiple of 16 pixels is accepted.
    """

    size_multiple = 16

    def __init__(self, num_classes: int, width: int = 64, depth: int = 3) -> None:
        from timm.models.vision_transformer import Block as TransformerBlock

        super().__init__()
        channels = [3, width // 8, width // 4, width // 2, width]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.stem = nn.Sequential(*layers[:-1])
        self.pos_embed = nn.Parameter(torch.zeros(1, width, 7, 7))
        self.blocks = nn.Sequential(*(TransformerBlock(width, width // 32, qkv_bias=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + F.interpolate(self.pos_embed, x.shape[-2:], mode="bilinear", align_corners=False)
        x = self.blocks(x.flatten(2).transpose(1, 2))
        return self.head(self.norm(x).mean(dim=1))


def small_vit(num_classes: int) -> nn.Module:
    """0.2 million parameters; 49 tokens at 112 pixels."""
    return ViTWithConvStem(num_classes)
