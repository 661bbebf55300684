"""Networks of the families whose parameters depend on the input's size, small enough for a test."""

from __future__ import annotations

import timm
from torch import nn

from efficienttrain.models.pvt import PVT


def deit(resolution: int) -> nn.Module:
    return timm.create_model(
        "deit_tiny_patch16_224", img_size=resolution, embed_dim=24, depth=2, num_heads=2, num_classes=5
    )


def distilled(resolution: int) -> nn.Module:
    return timm.create_model(
        "deit_tiny_distilled_patch16_224", img_size=resolution, embed_dim=24, depth=1, num_heads=2, num_classes=5
    )


def swin(resolution: int) -> nn.Module:
    return timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=resolution, window_size=resolution // 32,
        embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), num_classes=5, drop_path_rate=0.0,
    )  # fmt: skip


def pvt(resolution: int) -> nn.Module:
    return PVT((1, 1, 1, 1), num_classes=5, resolution=resolution, channels=(8, 8, 10, 16))


FAMILIES = {"deit": deit, "distilled": distilled, "swin": swin, "pvt": pvt}
