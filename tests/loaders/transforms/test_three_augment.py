from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import ImageFilter

from loaders.transforms import ThreeAugment, three_augment
from loaders.transforms.three_augment import box_filters, gaussian_blur
from tests.loaders.transforms.pictures import pillow, pixels, tensor


def test_blur_gives_pillows_pixels() -> None:
    white, black_and_white = torch.full((1, 3, 37, 37), 255, dtype=torch.uint8), pixels(1, 3, 37, 37) // 255 * 255
    images = torch.cat((pixels(3, 3, 37, 37), white, black_and_white))
    for sigma in [0.0, *np.linspace(0.1, 2, 24), 0.8084745762711864, 3.3, 7.0]:
        theirs = [tensor(pillow(image).filter(ImageFilter.GaussianBlur(float(sigma)))) for image in images]
        for blur in (gaussian_blur, box_filters):
            assert torch.equal(blur(images, np.full(5, sigma)), torch.stack(theirs)), (blur, sigma)


def test_another_pillow_changes_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    images, sigma = pixels(4, 3, 37, 37), np.array([0.1, 2.0, 0.7, 1.5])
    wanted = gaussian_blur(images, sigma)
    monkeypatch.setattr(ImageFilter.GaussianBlur, "filter", lambda _blur, image: image)  # no change
    three_augment._pillow_agrees.cache_clear()
    try:
        assert torch.equal(gaussian_blur(images, sigma), wanted)
    finally:
        three_augment._pillow_agrees.cache_clear()


def test_each_image_has_a_blur_of_its_own() -> None:
    images, sigma = pixels(4, 3, 37, 37), np.array([0.1, 2.0, 0.7, 1.5])
    one_by_one = [gaussian_blur(images[k : k + 1], sigma[k : k + 1]) for k in range(4)]
    assert torch.equal(gaussian_blur(images, sigma), torch.cat(one_by_one))


def test_a_batch_is_what_timms_3a_would_do_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm.data.auto_augment")
    theirs = timm.auto_augment_transform("3a", {}).policy
    by_name = {group[0].name: group[0] for group in theirs}
    images, keys, module = pixels(48, 3, 37, 37), np.arange(48), ThreeAugment()
    choice, sigma = module.plan(keys, seed=3, epoch=1)
    made = module(images, keys, seed=3, epoch=1)
    for k, image in enumerate(images):
        monkeypatch.setattr(timm.random, "uniform", lambda *_, k=k: float(sigma[k]))
        name = ("Desaturate", "Solarize", "GaussianBlurRand")[choice[k]]
        assert torch.equal(made[k], tensor(by_name[name](pillow(image)))), (k, name)
    assert set(choice) == {0, 1, 2} and len(by_name) == 3


def test_draws_are_uniform() -> None:
    choice, sigma = ThreeAugment().plan(np.arange(30_000), seed=0, epoch=0)
    assert np.abs(np.bincount(choice) / 10_000 - 1).max() < 0.03
    assert np.abs(np.quantile(sigma, [0, 0.25, 0.5, 0.75, 1]) - [0.1, 0.575, 1.05, 1.525, 2]).max() < 0.02


def test_wrong_settings() -> None:
    with pytest.raises(ValueError, match=r"`sigma` must be two numbers in rising order, 0 or more, got \(2, 1\)"):
        ThreeAugment((2, 1))
