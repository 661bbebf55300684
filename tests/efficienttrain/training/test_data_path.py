"""The published order of operations, bit for bit what its parts give by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from efficienttrain import recipe
from efficienttrain.training.data_path import eval_options, train_options
from loaders import Loader
from loaders.batch import Batch
from loaders.transforms import (
    ColorJitter,
    LowFrequencyCrop,
    Normalize,
    RandAugment,
    RandomErasing,
    ThreeAugment,
    TrivialAugmentWide,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FILL = (124, 116, 104)


def first(data: Path, resolution: int, magnitude: float | None, **options: Any) -> torch.Tensor:
    with Loader(data, 16, resolution=resolution, magnitude=magnitude, seed=3, num_workers=1, **options) as loader:
        images, _ = next(iter(loader))
        return images


def crops(data: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Random crops of 224 x 224, flipped, uint8, and the draw keys of the samples."""
    seen: list[tuple[torch.Tensor, np.ndarray]] = []

    def note(images: torch.Tensor, batch: Batch) -> torch.Tensor:
        seen.append((images.clone(), batch.keys))
        return images

    first(data, 224, None, interpolation="bicubic", transforms=[note])
    return seen[0]


@pytest.mark.parametrize(
    ("resolution", "magnitude", "size"), [(96, 9, 224), (160, None, 224), (224, 5, 224), (64, 5, 64)]
)
def test_the_published_path_of_2024(jpeg_folder: Path, resolution: int, magnitude: float | None, size: int) -> None:
    made = replace(recipe("swin_tiny", 200), data_path="published", reprob=0.5)
    got = first(jpeg_folder / "train", resolution, magnitude, **train_options(made, size))
    images, keys = crops(jpeg_folder / "train")
    if magnitude is not None:
        images = RandAugment(magnitude)(images, keys, seed=3, epoch=0)
    images = Normalize(MEAN, STD)(LowFrequencyCrop(resolution, "lanczos")(images))
    wanted = RandomErasing(0.5)(images.clone(), keys, seed=3, epoch=0)
    assert torch.equal(got, wanted) and not torch.equal(wanted, images)
    assert got.shape == (16, 3, resolution, resolution)
    slow = replace(made, interpolation="bilinear")  # crops that the loader's own order does not know
    assert "transforms" in train_options(slow, 224) and "transforms" not in train_options(made, 224)


def test_the_published_path_of_2023_erases_first_and_keeps_floats(jpeg_folder: Path) -> None:
    made = replace(recipe("swin_tiny", 300, "iccv"), data_path="published", reprob=0.5)
    got = first(jpeg_folder / "train", 160, 3, **train_options(made, 224))
    images, keys = crops(jpeg_folder / "train")
    images = Normalize(MEAN, STD)(RandAugment(3)(images, keys, seed=3, epoch=0))
    images = RandomErasing(0.5)(images, keys, seed=3, epoch=0)
    assert torch.equal(got, LowFrequencyCrop(160, "fourier")(images))


def test_the_fast_path_is_the_loaders_own(jpeg_folder: Path) -> None:
    made = replace(recipe("swin_tiny", 200), reprob=0.5)
    ours = first(jpeg_folder / "train", 96, 9, **train_options(made, 224))
    assert torch.equal(ours, first(jpeg_folder / "train", 96, 9, erase=0.5))


def test_other_boxes_and_another_normalisation(jpeg_folder: Path) -> None:
    half = (0.5, 0.5, 0.5)
    made = replace(recipe("swin_tiny", 200), reprob=1.0, remode="const", recount=2, mean=half, std=half)
    got = first(jpeg_folder / "train", 96, None, **train_options(made, 224))
    plain = first(jpeg_folder / "train", 96, None, mean=half, std=half)
    erased = (got != plain).any(1)
    assert 0.02 < erased.float().mean() < 0.5
    assert (got.movedim(1, -1)[erased] == 0).all()


@pytest.mark.parametrize("kind", ["3a", "trivial", "none"])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_other_augmentations(jpeg_folder: Path, kind: str, jitter: float) -> None:
    made = replace(recipe("swin_tiny", 200), reprob=0.0, auto_augment=kind, color_jitter=jitter)
    parts: list[Any] = [] if kind == "none" else [ThreeAugment() if kind == "3a" else TrivialAugmentWide(fill=FILL)]
    parts += [ColorJitter(jitter, jitter, jitter)] if jitter else []
    by_hand = {"transforms": [*parts, Normalize(MEAN, STD)]}
    got = first(jpeg_folder / "train", 96, 9, **train_options(made, 224))
    assert torch.equal(got, first(jpeg_folder / "train", 96, 9, **by_hand))
    plain = first(jpeg_folder / "train", 96, None, **train_options(made, 224))
    parts = parts[kind != "none" :]
    assert torch.equal(plain, first(jpeg_folder / "train", 96, None, transforms=[*parts, Normalize(MEAN, STD)]))


def test_what_the_loaders_are_told() -> None:
    made = recipe("swin_tiny", 200)
    crop = {"scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3), "hflip": 0.5}
    assert train_options(made, 224) == {"mean": MEAN, "std": STD, "interpolation": "fourier", "erase": 0.25, **crop}
    assert eval_options(made) == {"mean": MEAN, "std": STD, "interpolation": "fourier", "crop_pct": 0.875}
    changed = replace(made, scale=(0.2, 1.0), hflip=0.0, crop_pct=0.95, interpolation="bilinear")
    assert train_options(changed, 224).items() >= {"scale": (0.2, 1.0), "hflip": 0.0}.items()
    assert eval_options(changed).items() >= {"crop_pct": 0.95, "interpolation": "bilinear"}.items()
    assert eval_options(replace(made, data_path="published"))["interpolation"] == "bicubic"


def test_the_published_path_ends_at_224_pixels() -> None:
    with pytest.raises(ValueError, match='`data_path` "published" must have a `size` of at most 224, got 256'):
        train_options(replace(recipe("swin_tiny", 200), data_path="published"), 256)
