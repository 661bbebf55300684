from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from loaders.transforms import TrivialAugmentWide
from loaders.transforms.randaugment_ops import Op
from loaders.transforms.trivial_augment import OPERATIONS, arguments

# The operations' names in torchvision, in its order.
NAMES = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
    *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    return pytest.importorskip("torchvision.transforms.autoaugment")


def photo(side: int) -> torch.Tensor:
    """uint8 [3, side, side]: smooth shapes, some noise and an edge."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(coarse) * 0.7 + rng.integers(0, 30, (side, side, 3))
    pixels[side // 2 :, : side // 3] = (200, 10, 90)
    return torch.from_numpy(pixels.astype(np.uint8)).permute(2, 0, 1).contiguous()


def by_torchvision(theirs: ModuleType, image: torch.Tensor, name: str, magnitude: float) -> torch.Tensor:
    from torchvision.transforms import InterpolationMode

    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    made = theirs._apply_op(picture, name, magnitude, interpolation=InterpolationMode.BICUBIC, fill=[9, 8, 7])
    return torch.from_numpy(np.array(made)).permute(2, 0, 1)


def magnitude_of(theirs: ModuleType, name: str, strength: int) -> float:
    magnitudes, _ = theirs.TrivialAugmentWide()._augmentation_space(31)[name]
    return float(magnitudes[strength]) if magnitudes.ndim else 0.0


def test_the_operations_are_torchvisions(theirs: ModuleType) -> None:
    assert list(NAMES) == list(theirs.TrivialAugmentWide()._augmentation_space(31))
    assert len(OPERATIONS) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_operation_at_each_strength_gives_torchvisions_pixels(theirs: ModuleType, name: str) -> None:
    side, image = 64, photo(64)
    _, signed = theirs.TrivialAugmentWide()._augmentation_space(31)[name]
    module, op = TrivialAugmentWide(fill=(9, 8, 7)), OPERATIONS[NAMES.index(name)]
    signs = np.repeat([1.0, -1.0], 31) if signed else np.ones(62)
    strength = np.tile(np.arange(31), 2)
    ops = np.full(62, -1 if op is None else op)
    module.plan = lambda *_, **__: (ops, arguments(ops, strength, signs, side))  # type: ignore[method-assign]
    ours = module(image.expand(62, -1, -1, -1), np.arange(62), seed=0, epoch=0)
    for k in range(62):
        wanted = by_torchvision(theirs, image, name, signs[k] * magnitude_of(theirs, name, strength[k]))
        gap = (ours[k].int() - wanted.int()).abs()
        assert gap.max() <= (1 if name in MOVES else 0), (name, k)
        assert gap.float().mean() <= 0.05


def test_draws_are_uniform() -> None:
    count = 60_000
    op, argument = TrivialAugmentWide().plan(np.arange(count), 64, seed=0, epoch=0)
    shares = np.unique(op, return_counts=True)[1] / count * 14
    assert len(shares) == 14 and np.abs(shares - 1).max() < 0.06
    turns = argument[op == Op.ROTATE]
    assert len(np.unique(turns)) == 61 and abs(turns.mean()) < 3  # 30 bins each way, and 0
    assert abs((np.abs(turns) <= 67.5).mean() - 16 / 31) < 0.03
    assert set(np.unique(argument[op == Op.POSTERIZE])) == set(range(2, 9))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    images, module = photo(32).expand(64, -1, -1, -1).contiguous(), TrivialAugmentWide()
    whole = module(images, np.arange(64), seed=1, epoch=2)
    assert torch.equal(module(images[5:9], np.arange(5, 9), seed=1, epoch=2), whole[5:9])
    assert not torch.equal(module(images, np.arange(64), seed=1, epoch=3), whole)


def test_wrong_settings() -> None:
    with pytest.raises(ValueError, match="`num_magnitude_bins` must be 2 or more, got 1"):
        TrivialAugmentWide(1)
