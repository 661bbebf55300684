"""A ViT that tests pre-train."""

from __future__ import annotations

from torch import nn


def vit(num_classes: int, resolution: int) -> nn.Module:
    """Two blocks of 32 channels, patches of 8 pixels."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=resolution, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=num_classes
    )
