from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from loaders.plan.crop import eval_boxes, flips, train_boxes
from loaders.plan.geometry import CropGeometry


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scale": (0.5, 1.5)}, r"`scale` must be two numbers \(smallest, largest\), above 0 and at most 1, got"),
        ({"scale": 0.5}, r"`scale` must be two numbers .* got 0.5"),
        ({"scale": (0, 1)}, "`scale` must be two numbers"),
        ({"scale": (1.0, 0.5)}, "`scale` must be two numbers"),
        ({"ratio": (0.5, math.inf)}, r"`ratio` must be two numbers \(smallest, largest\), above 0, got"),
        ({"ratio": ("1", "2")}, "`ratio` must be two numbers"),
        ({"hflip": 1.1}, "`hflip` must be a probability, 0 to 1, got 1.1"),
        ({"crop_pct": 87.5}, "`crop_pct` must be a number above 0 and at most 2, got 87.5; it is a share"),
        ({"crop_pct": math.nan}, "`crop_pct` must be"),
        ({"crop_mode": "centre"}, "`crop_mode` must be one of 'center', 'squash', 'border', got 'centre'"),
        ({"interpolation": "nearest"}, "`interpolation` must be one of 'bicubic', 'bilinear', 'lanczos', 'fourier'"),
        ({"resize_size": 0}, "`resize_size` must be a whole number of pixels from 1 to 65535, or None, got 0"),
        ({"resize_size": 232.0}, "`resize_size` must be a whole number"),
        ({"fill": (0, 0, 256)}, "`fill` must be three whole numbers from 0 to 255"),
        ({"fill": (0.5, 0.5, 0.5)}, "`fill` must be three whole numbers"),
    ],
)
def test_wrong_values_are_refused(values: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CropGeometry(**values)


def test_lists_are_as_good_as_tuples() -> None:
    geometry = CropGeometry(scale=[0.2, 1], ratio=[1, 1])
    box = train_boxes(np.full(50, 90), np.full(50, 60), 0, 0, np.arange(50), geometry)
    assert (box[:, 2] - box[:, 0] == box[:, 3] - box[:, 1]).all()


def test_scale_bounds_the_area_of_training_crops() -> None:
    n, area = 500, 400 * 300
    box = train_boxes(np.full(n, 400), np.full(n, 300), 0, 0, np.arange(n), CropGeometry(scale=(0.3, 0.4)))
    share = (box[:, 2:] - box[:, :2]).prod(axis=1) / area
    assert 0.29 < share.min() < 0.31 and 0.39 < share.max() < 0.41


def test_ratio_bounds_the_shape_of_training_crops_and_of_the_fallback() -> None:
    n, geometry = 300, CropGeometry(ratio=(2.0, 2.5))
    box = train_boxes(np.full(n, 400), np.full(n, 300), 0, 0, np.arange(n), geometry)
    ratio = (box[:, 2] - box[:, 0]) / (box[:, 3] - box[:, 1])
    assert ratio.min() > 1.9 and ratio.max() < 2.6
    # No crop of these ratios fits into one column: the fallback still has a pixel.
    assert train_boxes(np.array([1]), np.array([100]), 0, 0, np.array([0]), geometry).tolist() == [[0, 49, 1, 50]]


def test_flip_probability() -> None:
    indices = np.arange(4000)
    quarter, half, most = (flips(0, 0, indices, p) for p in (0.25, 0.5, 0.9))
    assert (flips(0, 0, indices, 0.0) == 0).all() and (flips(0, 0, indices, 1.0) == 1).all()
    assert abs(quarter.mean() - 0.25) < 0.03 and abs(most.mean() - 0.9) < 0.03
    assert (quarter <= half).all() and (half <= most).all()
    assert (flips(0, 0, indices) == half).all()


def shown(width: int, height: int, resolution: int, geometry: CropGeometry) -> list[float]:
    return eval_boxes(np.array([width]), np.array([height]), resolution, geometry)[0].tolist()


def test_squash_resizes_both_sides() -> None:
    assert shown(500, 375, 224, CropGeometry(crop_mode="squash", crop_pct=1.0)) == [0, 0, 500, 375]
    assert shown(256, 512, 224, CropGeometry(crop_mode="squash")) == [16, 32, 240, 480]


def test_border_shows_the_whole_image_and_more() -> None:
    geometry = CropGeometry(crop_mode="border", crop_pct=1.0)
    assert shown(448, 224, 224, geometry) == [0, -112, 448, 336]
    assert shown(224, 448, 224, geometry) == [-112, 0, 336, 448]


def test_an_explicit_resize_size_replaces_crop_pct() -> None:
    assert shown(464, 464, 224, CropGeometry(resize_size=232, crop_pct=0.5)) == [8, 8, 456, 456]
    # A crop larger than the resized image reaches two output pixels outside on each side.
    assert shown(110, 110, 224, CropGeometry(resize_size=220)) == [-1, -1, 111, 111]


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 1.0, 1.15])
def test_boxes_are_timms(mode: str, crop_pct: float) -> None:
    """Each pipeline of timm's is run on pictures of coordinates, which then say where pixels come from."""
    transforms_factory = pytest.importorskip("timm.data.transforms_factory")
    geometry = CropGeometry(crop_mode=mode, crop_pct=crop_pct)  # type: ignore[arg-type]
    for width, height, resolution in ((500, 375, 224), (375, 501, 97), (640, 128, 192)):
        evaluate = transforms_factory.transforms_imagenet_eval(
            resolution, crop_pct, crop_mode=mode, interpolation="bilinear", mean=(0, 0, 0), use_prefetcher=True
        )
        box = np.array(shown(width, height, resolution, geometry))
        for axis, side in ((0, width), (1, height)):
            ramp = np.linspace(50, 250, side)
            pixels = np.broadcast_to(ramp[None] if axis == 0 else ramp[:, None], (height, width))
            image = Image.fromarray(np.repeat(np.uint8(np.rint(pixels))[..., None], 3, axis=2))
            made = np.asarray(evaluate(image))[0].astype(float)
            line = made[resolution // 2] if axis == 0 else made[:, resolution // 2]
            places = box[axis] + (np.arange(resolution) + 0.5) / resolution * (box[axis + 2] - box[axis]) - 0.5
            inside = (places > -0.5) & (places < side - 0.5)
            wanted = np.where(inside, np.interp(places, np.arange(side), ramp), 0.0)
            away = np.abs(places - side / 2) < side / 2 - (box[axis + 2] - box[axis]) / resolution
            assert np.abs(line - wanted)[away | ~inside].max() < 1.6, (width, height, axis)
