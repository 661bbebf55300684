from __future__ import annotations

import numpy as np
import pytest
import torch

from loaders.transforms import ColorJitter, RandomGrayscale
from loaders.transforms.color import shift_hue
from tests.loaders.transforms.pictures import pillow, pixels, tensor


@pytest.mark.parametrize("shift", [0.0, 0.17, -0.5, -0.031, 0.5])
def test_hue_gives_pillows_pixels_for_every_kind_of_colour(shift: float) -> None:
    functional = pytest.importorskip("torchvision.transforms.functional")
    levels = torch.arange(256, dtype=torch.uint8)
    planes = [levels[:, None].expand(256, 256), levels.expand(256, 256)]
    for red in (0, 51, 128, 255):
        image = torch.stack((torch.full((256, 256), red, dtype=torch.uint8), *planes))
        wanted = tensor(functional.adjust_hue(pillow(image), shift))
        assert torch.equal(shift_hue(image[None], np.array([shift]))[0], wanted), red


@pytest.mark.parametrize("settings", [(0.4, 0.4, 0.4, 0.1), (0.3, 0.3, 0.3, 0), (0, (0.5, 3), 0, (-0.2, 0.4))])
def test_a_batch_is_what_torchvision_would_do_one_by_one(settings: tuple) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    theirs, ours = transforms.ColorJitter(*settings), ColorJitter(*settings)
    images, keys = pixels(32, 3, 32, 32), np.arange(32)
    order, factors = ours.plan(keys, seed=3, epoch=1)
    made = ours(images, keys, seed=3, epoch=1)
    used = [theirs.brightness, theirs.contrast, theirs.saturation, theirs.hue]
    for k, image in enumerate(images):
        given = [None if used[j] is None else float(factors[k, j]) for j in range(4)]
        theirs.get_params = lambda *_, k=k, given=given: (torch.from_numpy(order[k]), *given)
        assert torch.equal(made[k], tensor(theirs(pillow(image)))), k


def test_draws_have_torchvisions_distribution() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    settings = (0.4, 1.5, (0.2, 3), 0.1)
    theirs, ours = transforms.ColorJitter(*settings), ColorJitter(*settings)
    ranges = [theirs.brightness, theirs.contrast, theirs.saturation, theirs.hue]
    assert [ours.brightness, ours.contrast, ours.saturation, ours.hue] == ranges
    order, factors = ours.plan(np.arange(24_000), seed=0, epoch=0)
    assert np.abs(np.unique(order, axis=0, return_counts=True)[1] / 1000 - 1).max() < 0.15
    for j, (low, high) in enumerate(ranges):
        quartiles = np.quantile((factors[:, j] - low) / (high - low), [0, 0.25, 0.5, 0.75, 1])
        assert np.abs(quartiles - [0, 0.25, 0.5, 0.75, 1]).max() < 0.02


def test_nothing_asked_changes_nothing_and_no_image_is_no_error() -> None:
    images = pixels(3, 3, 32, 32)
    assert torch.equal(ColorJitter()(images, np.arange(3), seed=0, epoch=0), images)
    for module in (ColorJitter(0.4, 0.4, 0.4, 0.1), RandomGrayscale(0.5)):
        assert module(images[:0], np.arange(0), seed=0, epoch=0).shape == (0, 3, 32, 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"brightness": -1}, "`brightness` must give a range of finite numbers, 0 or more, in rising order, got -1"),
        ({"contrast": (2, 1)}, "`contrast` must give .*, in rising order, got"),
        ({"hue": 0.6}, "`hue` must give a range within -0.5 to 0.5, in rising order, got 0.6"),
    ],
)
def test_wrong_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ColorJitter(**settings)


def test_greyscale_is_torchvisions_and_as_often_as_asked() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    images = pixels(2000, 3, 16, 16)
    made = RandomGrayscale(0.3)(images, np.arange(2000), seed=0, epoch=0)
    grey = (made[:, 0] == made[:, 1]).flatten(1).all(1) & (made[:, 1] == made[:, 2]).flatten(1).all(1)
    assert abs(grey.float().mean() - 0.3) < 0.04
    assert torch.equal(made[~grey], images[~grey])
    always = transforms.RandomGrayscale(1)
    for k in torch.nonzero(grey)[:20, 0]:
        assert torch.equal(made[k], tensor(always(pillow(images[k]))))
    with pytest.raises(ValueError, match="`p` must be a probability, 0 to 1, got 2"):
        RandomGrayscale(2)
