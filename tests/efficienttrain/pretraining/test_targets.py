from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from efficienttrain.pretraining.targets import Hog, Pixels, make_target


def images(side: int = 32) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_pixels_are_normalised_patch_by_patch_and_come_back() -> None:
    target = Pixels(8)
    values = target(images())
    assert values.shape == (2, 16, target.width) == (2, 16, 192)
    assert values.mean(2).abs().max() < 1e-5
    assert values.std(2).sub(1).abs().max() < 1e-4
    assert torch.allclose(target.picture(images(), values), images(), atol=1e-5)
    patch = images()[0, :, 8:16, 16:24].flatten()  # row 1, column 2
    assert torch.allclose(values[0, 6], (patch - patch.mean()) / patch.std(), atol=1e-4)


def test_hog_is_what_a_loop_over_pixels_gives() -> None:
    image, bins, cell = images(16)[:1], 9, 4
    found = Hog(8)(image).reshape(4, 3, bins, 2, 2)
    wanted = torch.zeros(4, 3, bins, 2, 2)
    for channel in range(3):
        for y in range(16):
            for x in range(16):
                pixel = image[0, channel]
                mirror = lambda k: min(abs(k), 30 - k)  # noqa: E731
                across = float(pixel[y, mirror(x + 1)] - pixel[y, mirror(x - 1)])
                down = float(pixel[mirror(y + 1), x] - pixel[mirror(y - 1), x])
                place = math.degrees(math.atan2(down, across)) % 180 / 20 - 0.5
                low, share = math.floor(place), place % 1
                histogram = wanted[y // 8 * 2 + x // 8, channel, :, y % 8 // cell, x % 8 // cell]
                histogram[low % bins] += (1 - share) * math.hypot(across, down)
                histogram[(low + 1) % bins] += share * math.hypot(across, down)
    assert torch.allclose(found, wanted / wanted.norm(dim=2, keepdim=True), atol=1e-4)


def test_hog_ignores_contrast_and_is_nothing_where_all_is_flat() -> None:
    target = Hog(8)
    assert torch.allclose(target(images()), target(-3 * images() + 1), atol=1e-4)
    assert not target(torch.ones(1, 3, 16, 16)).any()


def test_hog_is_drawn_along_the_edge() -> None:
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)  # brighter to the right: lines stand upright
    picture = Hog(16).picture(ramp, Hog(16)(ramp))[0, 0]
    assert picture[:, 3:5].mean() > picture[:, :2].mean() + 1


def test_hog_needs_whole_cells() -> None:
    with pytest.raises(ValueError, match="patches of an even number of pixels, got 7"):
        make_target("hog", 7)
