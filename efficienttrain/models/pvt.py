"""Pyramid Vision Transformer, first version (Wang et al., ICCV 2021, arXiv 2102.12122); timm has only the second.

Four stages of plain attention over the whole map; to reduce the cost, keys and values come from a map that is smaller
by a factor of `reduction`.
Each stage has a learned position embedding, so the parameters depend on the input's size.
"""

from __future__ import annotations

from functools import partial

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from efficienttrain.models.size import fit

Four = tuple[int, int, int, int]
CHANNELS, HEADS = (64, 128, 320, 512), (1, 2, 5, 8)
EXPANSION, REDUCTION = (8, 8, 4, 4), (8, 4, 2, 1)


class Attention(nn.Module):
    """Attention of tokens [n, side * side, channels] on a map `reduction` times smaller."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)
        self.reduce = nn.Conv2d(channels, channels, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels) if reduction > 1 else None

    def forward(self, x: Tensor, side: int) -> Tensor:
        n, _, channels = x.shape
        source = x
        if self.reduce is not None and self.norm is not None:
            image = x.transpose(1, 2).reshape(n, channels, side, side)
            source = self.norm(self.reduce(image).flatten(2).transpose(1, 2))
        query = self._split(self.query(x))
        key, value = (self._split(part) for part in self.key_value(source).chunk(2, dim=-1))
        out = F.scaled_dot_product_attention(query, key, value)
        return self.project(out.transpose(1, 2).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        """[n, tokens, channels] -> [n, heads, tokens, channels / heads]"""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Attention and a perceptron on tokens [n, tokens, channels]."""

    def __init__(self, channels: int, heads: int, expansion: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attention = Attention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Mlp(channels, expansion * channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, side: int) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x), side))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Stage(nn.Module):
    """Patches of the map [n, inputs, H, H], with positions and in the last stage a class token, through its blocks."""

    def __init__(self, number: int, inputs: int, channels: int, side: int, rates: list[float]) -> None:
        super().__init__()
        patch = 2 if number else 4
        self.last = number == 3
        self.embed = nn.Conv2d(inputs, channels, patch, patch)
        self.norm = nn.LayerNorm(channels)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels)) if self.last else None
        self.pos_embed = nn.Parameter(torch.zeros(1, side * side + self.last, channels))
        self.blocks = nn.ModuleList(
            Block(channels, HEADS[number], EXPANSION[number], REDUCTION[number], rate) for rate in rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, side, side]; of the last stage the class token, [n, channels]."""
        x = self.embed(x)
        side = x.shape[-1]
        x = self.norm(x.flatten(2).transpose(1, 2))
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x, side)
        return x[:, 0] if self.last else x.transpose(1, 2).unflatten(2, (side, side))


class PVT(nn.Module):
    """[n, 3, B, B] to logits [n, num_classes].

    Args:
        depths: blocks of the four stages.
        num_classes: outputs.
        drop_path: stochastic depth, rising from 0 to this in the last block.
        resolution: side B of the input, pixels; `set_input_size` changes it.
        channels: of the four stages, multiples of 1, 2, 5 and 8.
    """

    size_multiple = 32

    def __init__(
        self, depths: Four, num_classes: int, drop_path: float = 0.0, resolution: int = 224, channels: Four = CHANNELS
    ) -> None:
        super().__init__()
        rates = [drop_path * block / max(1, sum(depths) - 1) for block in range(sum(depths))]
        stages, inputs = [], 3
        for number, (depth, outputs) in enumerate(zip(depths, channels, strict=True)):
            begin = sum(depths[:number])
            stages.append(Stage(number, inputs, outputs, resolution // (4 << number), rates[begin : begin + depth]))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(inputs, eps=1e-6)
        self.head = nn.Linear(inputs, num_classes)
        for name, parameter in self.named_parameters():
            if name.endswith(("pos_embed", "cls_token")):
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(x)))

    def no_weight_decay(self) -> set[str]:
        """Names of position embeddings and class token, as with DeiT (the authors' code has only the token)."""
        return {name for name, _ in self.named_parameters() if name.endswith(("pos_embed", "cls_token"))}

    def block_of(self, name: str) -> tuple[int, int] | None:
        """Stage and block of a parameter; a later stage's embedding belongs to its first block."""
        part, stage, inner, block, *_ = [*name.split("."), "", "", ""]
        if part != "stages" or (stage == "0" and inner != "blocks"):
            return None
        return int(stage), int(block) if inner == "blocks" else 0

    def set_input_size(self, img_size: tuple[int, int]) -> None:
        """Fits the position embeddings to inputs of this size, pixels."""
        for number, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            side = img_size[0] // (4 << number)
            shape = (1, side * side + stage.last, stage.pos_embed.shape[-1])
            if stage.pos_embed.shape != shape:
                stage.pos_embed = nn.Parameter(fit(stage.pos_embed.data, shape))


FACTORIES = {
    "pvt_tiny": partial(PVT, (2, 2, 2, 2)),
    "pvt_small": partial(PVT, (3, 4, 6, 3)),
    "pvt_medium": partial(PVT, (3, 4, 18, 3)),
    "pvt_large": partial(PVT, (3, 8, 27, 3)),
}
"""The networks of the paper's table 1; called as `factory(num_classes=..., drop_path=..., resolution=...)`."""
