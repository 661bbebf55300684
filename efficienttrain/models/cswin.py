"""CSWin Transformer (Dong et al., CVPR 2022, arXiv 2107.00652), which timm does not have.

Self-attention in crossing stripes: half of the heads attend along vertical stripes, half along horizontal ones. The
width of the stripes grows with depth: 1, 2, B/32, B/32 (7 at 224); the last two are half of the map and the whole map.
So the widths depend only on the map's size, no parameter depends on the input, and any multiple of 32 is accepted.
"""

from __future__ import annotations

from functools import partial

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn
from torch.nn import functional as F


class StripeAttention(nn.Module):
    """Attention within the windows of one shape, with LePE: a depthwise convolution of the values."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, qkv: Tensor, height: int, width: int) -> Tensor:
        """qkv [n, H, W, 3, channels], windows of height x width that tile H x W -> [n, H, W, channels]."""
        n, rows, columns, _, channels = qkv.shape
        down, across, depth = rows // height, columns // width, channels // self.heads
        tiled = qkv.reshape(n, down, height, across, width, 3, self.heads, depth)
        tiled = tiled.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(3, -1, self.heads, height * width, depth)
        query, key, value = tiled.unbind()
        image = value.transpose(2, 3).reshape(-1, channels, height, width)
        position = self.position(image).reshape(-1, self.heads, depth, height * width).transpose(2, 3)
        out = F.scaled_dot_product_attention(query, key, value) + position
        out = out.reshape(n, down, across, self.heads, height, width, depth).permute(0, 1, 4, 2, 5, 3, 6)
        return out.reshape(n, rows, columns, channels)


class Block(nn.Module):
    """Cross-shaped window attention and a perceptron on [n, H, W, channels]."""

    def __init__(self, channels: int, heads: int, stage: int, drop_path: float) -> None:
        super().__init__()
        self.stage = stage
        branches = 1 if stage == 3 else 2  # if a stripe is the whole map, both directions are the same
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.attention = nn.ModuleList(
            StripeAttention(channels // branches, heads // branches) for _ in range(branches)
        )
        self.project = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, 4 * channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        n, rows, columns, channels = x.shape
        width = (1, 2, rows // 2, rows)[self.stage]
        qkv = self.qkv(self.norm1(x)).reshape(n, rows, columns, 3, channels)
        shapes = ((rows, width), (width, columns))
        parts = zip(self.attention, qkv.chunk(len(self.attention), dim=-1), shapes, strict=False)
        crossed = torch.cat([branch(part, *shape) for branch, part, shape in parts], dim=-1)
        x = x + self.drop_path(self.project(crossed))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Embed(nn.Module):
    """A strided convolution whose patches overlap, and a norm; channels last on both ends."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class CSWin(nn.Module):
    """[n, 3, B, B], B a multiple of 32, to logits [n, num_classes].

    Args:
        channels: of the first stage; doubled from stage to stage.
        depths: blocks of the four stages.
        heads: of the four stages.
        num_classes: outputs.
        drop_path: stochastic depth, rising from 0 to this in the last block.
    """

    size_multiple = 32
    blocks_per_layer = 2  # of layer-wise rate decay, in the released code

    def __init__(
        self,
        channels: int,
        depths: tuple[int, int, int, int],
        heads: tuple[int, int, int, int],
        num_classes: int,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        rates = iter([drop_path * block / max(1, sum(depths) - 1) for block in range(sum(depths))])
        stages: list[nn.Module] = []
        for stage, (depth, head) in enumerate(zip(depths, heads, strict=True)):
            width = channels * 2**stage
            embed = Embed(width // 2, width, 3, 2, 1) if stage else Embed(3, width, 7, 4, 2)
            stages.append(nn.Sequential(embed, *(Block(width, head, stage, next(rates)) for _ in range(depth))))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(8 * channels)
        self.head = nn.Linear(8 * channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(x.permute(0, 2, 3, 1))
        return self.head(self.norm(x).mean(dim=(1, 2)))

    def block_of(self, name: str) -> tuple[int, int] | None:
        """Stage and block of a parameter; a later stage's embedding belongs to its first block."""
        part, stage, block, *_ = [*name.split("."), "", ""]
        if part != "stages" or (stage, block) == ("0", "0"):
            return None
        return int(stage), max(0, int(block) - 1)


FACTORIES = {
    "cswin_tiny": partial(CSWin, 64, (1, 2, 21, 1), (2, 4, 8, 16)),
    "cswin_small": partial(CSWin, 64, (2, 4, 32, 2), (2, 4, 8, 16)),
    "cswin_base": partial(CSWin, 96, (2, 4, 32, 2), (4, 8, 16, 32)),
    "cswin_large": partial(CSWin, 144, (2, 4, 32, 2), (6, 12, 24, 24)),
}
"""The networks of the paper's table 1; called as `factory(num_classes=..., drop_path=...)`."""
