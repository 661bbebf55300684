"""A masked autoencoder from timm's ViT and timm's blocks, at any resolution.

Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", arXiv 2111.06377, section 3 and appendix A.1.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

WIDEST, DEEPEST, HEAD = 512, 8, 32
"""The authors' decoder: channels, blocks, and channels of a head."""


class MaskedAutoencoder(nn.Module):
    """Encodes the visible patches, decodes the hidden ones.

    The decoder has two thirds of the encoder's channels (in multiples of 32) and blocks, at most 512 and 8. For ViT-B
    and ViT-L this is the authors' decoder, for smaller encoders our interpretation.
    """

    def __init__(self, encoder: nn.Module, outputs: int, size: int) -> None:
        """Takes over the encoder, and initialises its weights.

        Args:
            encoder: a timm `VisionTransformer`; its head is removed, its position embedding becomes a fixed table.
            outputs: numbers to predict for each patch.
            size: full size, pixels, at which positions equal those of the authors.

        Raises:
            ValueError: another kind of network.
        """
        from timm.models.vision_transformer import Block, VisionTransformer

        super().__init__()
        if not isinstance(encoder, VisionTransformer) or encoder.pos_embed is None or encoder.dynamic_img_size:
            raise ValueError(
                "masked pre-training takes a VisionTransformer of timm's with a position embedding, and of fixed "
                f"input size, got {type(encoder).__name__}; vit_base_patch16_224 is one."
            )
        encoder.fc_norm, encoder.head = nn.Identity(), nn.Identity()
        encoder.pos_embed.requires_grad_(False)
        self.encoder: Any = encoder
        self.size_multiple: int = encoder.patch_embed.patch_size[0]
        self._full = size / self.size_multiple
        channels, depth = encoder.embed_dim, len(encoder.blocks)
        width = min(WIDEST, -(-2 * channels // (3 * HEAD)) * HEAD)
        self.embed = nn.Linear(channels, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        norm = partial(nn.LayerNorm, eps=1e-6)
        number = min(DEEPEST, -(-2 * depth // 3))
        self.decoder = nn.Sequential(
            *(Block(width, width // HEAD, qkv_bias=True, norm_layer=norm) for _ in range(number))
        )
        self.norm = norm(width)
        self.head = nn.Linear(width, outputs)
        self.register_buffer("places", torch.empty(0), persistent=False)
        self.apply(_fresh)
        for token in (self.mask_token, encoder.cls_token, encoder.reg_token):
            if token is not None:
                nn.init.normal_(token, std=0.02)
        weight = encoder.patch_embed.proj.weight
        nn.init.xavier_uniform_(weight.view(len(weight), -1))
        self.set_input_size(encoder.patch_embed.img_size)

    @torch.no_grad()
    def set_input_size(self, img_size: tuple[int, int]) -> None:
        """Regenerates the tables of positions for this size; learnt parameters do not change."""
        encoder, table = self.encoder, self.encoder.pos_embed
        encoder.patch_embed.set_input_size(img_size)
        grid = encoder.patch_embed.grid_size[0]
        others = 0 if encoder.no_embed_class else encoder.num_prefix_tokens  # class, registers: zero embedding
        places = positions(grid, encoder.embed_dim, self._full).to(table.device)
        table.data = torch.cat((places.new_zeros(others, encoder.embed_dim), places))[None]
        self.places = positions(grid, self.embed.out_features, self._full).to(table.device)

    @property
    def patches(self) -> int:
        """Number of patches in an image of the present size."""
        return int(self.encoder.patch_embed.num_patches)

    def encode(self, images: Tensor, visible: Tensor) -> Tensor:
        """The encoder's last tokens, [n, class and registers + v, channels], of images [n, 3, B, B]."""
        encoder = self.encoder
        tokens = encoder._pos_embed(encoder.patch_embed(images))
        first = encoder.num_prefix_tokens
        tokens = torch.cat((tokens[:, :first], pick(tokens[:, first:], visible)), dim=1)
        return encoder.norm(encoder.blocks(encoder.norm_pre(tokens)))

    def forward(self, images: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Predictions for the hidden patches, [n, h, outputs]; `visible`, `hidden`: see `Mask`."""
        first = self.encoder.num_prefix_tokens
        tokens = self.embed(self.encode(images, visible))
        grid = self.mask_token.to(tokens.dtype).expand(len(images), self.patches, -1)
        grid = grid.scatter(1, _wide(visible, tokens), tokens[:, first:]) + self.places
        decoded = self.decoder(torch.cat((tokens[:, :first], grid), dim=1))[:, first:]
        return self.head(self.norm(pick(decoded, hidden)))


def pick(tokens: Tensor, places: Tensor) -> Tensor:
    """The tokens of [n, patches, channels] at `places` [n, k]."""
    return tokens.gather(1, _wide(places, tokens))


def positions(grid: int, channels: int, full: float) -> Tensor:
    """The sin-cos table of a grid of `grid` x `grid` patches, [grid ** 2, channels].

    A patch keeps its place in the *image*: coordinates are stretched to those of a grid of `full` x `full` patches (as
    in bilinear interpolation without aligned corners), so every resolution uses the same functions. At full size this
    is `timm.layers.build_sincos2d_pos_embed`, MAE's table. The stretching is our interpretation.

    Raises:
        ValueError: `channels` is not a multiple of 4.
    """
    if channels % 4:
        raise ValueError(f"a sin-cos table needs channels in multiples of 4, got {channels}.")
    places = (torch.arange(grid) + 0.5) * (full / grid) - 0.5
    waves = places[:, None] * 10000.0 ** -(torch.arange(channels // 4) / (channels // 4))
    rows, columns = waves[:, None].expand(grid, grid, -1), waves.expand(grid, grid, -1)
    angles = torch.stack((rows, columns), dim=2)
    return torch.stack((angles.sin(), angles.cos()), dim=2).reshape(grid * grid, channels)


def _wide(places: Tensor, tokens: Tensor) -> Tensor:
    return places[..., None].expand(-1, -1, tokens.shape[2])


def _fresh(module: nn.Module) -> None:
    """Sets the authors' initial weights."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
