"""The published transforms, in the published order."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

transforms = pytest.importorskip("torchvision.transforms")
official = pytest.importorskip("benchmarks.peers.torchvision_").official


def names(resolution: int, magnitude: float | None) -> list[str]:
    return [type(step).__name__ for step in official(resolution, magnitude).transforms]


def test_order() -> None:
    ends = ["ToTensor", "Normalize"]
    crop = ["RandomResizedCrop", "RandomHorizontalFlip"]
    assert names(224, None) == [*crop, *ends]
    assert names(96, None) == [*crop, "Resize", *ends]


def test_randaugment_comes_at_224_before_the_resize() -> None:
    pytest.importorskip("timm")
    assert names(96, 8.0) == [
        "RandomResizedCrop",
        "RandomHorizontalFlip",
        "RandAugment",
        "Resize",
        "ToTensor",
        "Normalize",
    ]


def test_filters_and_sides() -> None:
    crop, _, resize, *_ = official(96, None).transforms
    assert crop.size == (224, 224)
    assert (crop.scale, crop.ratio) == ((0.08, 1.0), (3 / 4, 4 / 3))
    assert crop.interpolation == transforms.InterpolationMode.BICUBIC
    assert resize.interpolation == transforms.InterpolationMode.LANCZOS
    image = official(96, None)(Image.fromarray(np.zeros((80, 120, 3), np.uint8)))
    assert image.shape == (3, 96, 96)
    assert official(256, None).transforms[0].size == (256, 256)
