"""Networks small enough to train on two cores: one with convolutions, one with attention."""

from __future__ import annotations

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


def convnet(num_classes: int, width: int = 32) -> nn.Module:
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


def small_convnet(num_classes: int) -> nn.Module:
    """A quarter of it, for a demonstration."""
    return convnet(num_classes, width=16)


def vit(num_classes: int, drop_path: float = 0.0, bandwidth: int = 224) -> nn.Module:
    """A ViT of three blocks of width 64 with patches of 8 pixels, 170,000 parameters at 64 pixels."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=bandwidth,
        patch_size=8,
        embed_dim=64,
        depth=3,
        num_heads=2,
        num_classes=num_classes,
        drop_path_rate=drop_path,
    )
