from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import transforms as v1
from torchvision.transforms import v2

from loaders import Loader
from loaders.transforms import Mixup, Normalize, PerSample
from loaders.transforms.pipeline import transforms_of
from tests.loaders.transforms.pictures import pixels

KEYS = {"seed": 7, "epoch": 3}


class Shift(torch.nn.Module):
    """Adds a number that torch draws."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.int() + torch.randint(1 << 20, ())


def test_each_image_has_draws_of_its_own_which_the_batch_does_not_change() -> None:
    images, keys = pixels(8, 3, 16, 16), np.arange(8)
    shift = PerSample(Shift())
    made = shift(images, keys, **KEYS)
    added = (made - images.int()).flatten(1)
    assert (added == added[:, :1]).all() and len(set(added[:, 0].tolist())) == 8
    some = [5, 0, 2]
    assert torch.equal(shift(images[some], keys[some], **KEYS), made[some])
    assert not torch.equal(shift(images, keys, seed=7, epoch=4), made)


def test_torchs_random_state_is_as_before() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    PerSample(Shift())(pixels(4, 3, 8, 8), np.arange(4), **KEYS)
    with pytest.raises(ZeroDivisionError):
        PerSample(lambda image: image / (1 // 0))(pixels(4, 3, 8, 8), np.arange(4), **KEYS)
    assert torch.equal(torch.rand(2), expected)


def test_what_a_transform_must_return_is_said() -> None:
    images = pixels(4, 3, 8, 8)
    with pytest.raises(TypeError, match="must return a tensor for each image, got tuple"):
        PerSample(v2.FiveCrop(4))(images, np.arange(4), **KEYS)
    with pytest.raises(ValueError, match="must return images of one shape"):
        PerSample(v2.RandomResize(8, 64))(images, np.arange(4), **KEYS)
    assert PerSample(Shift())(images[:0], np.arange(0), **KEYS).shape == (0, 3, 8, 8)


TORCHVISIONS = {
    "random": lambda: v2.RandomRotation(90),
    "inside": lambda: v2.Compose([v2.Identity(), v2.RandomApply([v2.RandomInvert(1.0)], p=0.5)]),
    "jitter": lambda: v2.ColorJitter(0.9),
    "automatic": lambda: v2.RandAugment(),
    "older": lambda: v1.Compose([v1.RandomVerticalFlip()]),
}


@pytest.mark.parametrize("name", TORCHVISIONS)
def test_a_loader_applies_torchvisions_random_transforms_image_by_image(pyramid: Path, name: str) -> None:
    def delivered(batch_size: int) -> dict[int, torch.Tensor]:
        options: dict[str, Any] = {"resolution": 32, "num_workers": 1, "seed": 4, "fields": ("image", "index")}
        with Loader(pyramid, transforms=[TORCHVISIONS[name]()], batch_size=batch_size, **options) as loader:
            return {k: image for images, indices in loader for k, image in zip(indices.tolist(), images, strict=True)}

    torch.manual_seed(0)
    first = delivered(12)
    torch.manual_seed(1)
    second = delivered(4)
    assert len(first) == 24 and all(torch.equal(first[k], second[k]) for k in first)


def test_torchvisions_other_transforms_are_applied_to_the_batch() -> None:
    given = [v2.ToDtype(torch.float32, scale=True), v2.Compose([v2.Grayscale(3), v2.Pad(2)])]
    assert transforms_of(given) == tuple(given)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (v1.ToTensor(), r"are uint8 tensors already, got torchvision's ToTensor\(\).*; use .*ToDtype\("),
        (v1.Compose([v1.RandomHorizontalFlip(), v1.Compose([v1.ToTensor()])]), r"got torchvision's ToTensor\(\)"),
        (v1.PILToTensor(), r"got torchvision's PILToTensor\(\), which takes PIL images; leave it out"),
        (v2.ToPILImage(), r"must return tensors, got ToPILImage\(.*put it, .* into one torchvision.transforms.Compose"),
        (v2.MixUp(num_classes=3), r"torchvision's MixUp; use loaders.transforms.Mixup"),
        (lambda image: image, r"takes other arguments; wrap a transform of single images in loaders.transforms.PerS"),
        (torch.nn.Sequential(), r"Sequential\(\), which takes other arguments"),
        ("flip", r"must be callables .*, got 'flip'"),
    ],
)
def test_what_is_no_batch_transform_is_refused(pyramid: Path, transform: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Loader(pyramid, transforms=[transform], batch_size=6, resolution=32)


def test_a_transform_that_would_leave_pixels_unscaled_is_refused() -> None:
    with pytest.warns(UserWarning, match="deprecated"):
        transform = v2.ToTensor()
    with pytest.raises(TypeError, match=r"got torchvision's ToTensor\(\)"):
        transforms_of([transform])


@pytest.mark.parametrize(
    "transform",
    [
        v1.Compose([v1.ToPILImage(), v1.RandomPosterize(4, 1.0), v1.ToTensor()]),
        v2.Compose([v2.PILToTensor(), v2.RandomPosterize(4, 1.0), v2.ToDtype(torch.float32, scale=True)]),
    ],
    ids=["PIL", "tensors"],
)
def test_a_compose_may_use_pil_images_inside(pyramid: Path, transform: Any) -> None:
    options: dict[str, Any] = {"batch_size": 6, "resolution": 32, "num_workers": 1, "seed": 4}
    with (
        Loader(pyramid, transforms=[transform], **options) as loader,
        Loader(pyramid, dtype="uint8", **options) as plain,
    ):
        for (images, _), (pixels, _) in zip(loader, plain, strict=True):
            torch.testing.assert_close(images, (pixels & 0xF0) / 255)


@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_mixup_is_a_transform(pyramid: Path, mode: str) -> None:
    mix, last = Mixup(num_classes=3, mode=mode), Normalize((0.5,) * 3, (0.5,) * 3)
    options: dict[str, Any] = {"batch_size": 8, "resolution": 32, "seed": 4, "num_workers": 1}
    with (
        Loader(pyramid, transforms=[last], fields=("image", "label", "index"), **options) as plain,
        Loader(pyramid, transforms=[last, mix], **options) as loader,
    ):
        for (images, labels, indices), (mixed, targets) in zip(plain, loader, strict=True):
            expected = mix(images, labels, int(indices[0]), seed=4, epoch=0)
            assert torch.equal(mixed, expected[0]) and torch.equal(targets, expected[1])
            assert targets.shape == (8, 3)
    with pytest.raises(TypeError, match="`batch`, `seed` and `epoch` must be given with labels"):
        mix(images, labels)
