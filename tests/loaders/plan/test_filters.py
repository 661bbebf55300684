"""The tabulated kernels, evaluated in NumPy, against the resizers and the Fourier crop they imitate."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from loaders.plan.filters import Filter, FilterName, build

Box = tuple[int, int, int, int]
Pixels = NDArray[np.float64]

# Crops of a 300 x 260 image: two larger than 224 px, which the published path shrinks first, and two smaller.
SHRUNK: list[Box] = [(0, 0, 300, 260), (13, 30, 269, 260)]
ENLARGED: list[Box] = [(101, 17, 201, 137), (250, 200, 300, 260)]


def picture(seed: int = 0) -> Image.Image:
    """Random phases under a 1/f amplitude spectrum, the statistics of natural images; 300 x 260, grey."""
    frequency = np.hypot(np.fft.fftfreq(260)[:, None], np.fft.fftfreq(300))
    noise = np.random.default_rng(seed).standard_normal(frequency.shape)
    pixels = np.fft.ifft2(np.fft.fft2(noise) / np.maximum(frequency, 1 / 300)).real
    return Image.fromarray(np.clip(128 + 40 * pixels / pixels.std(), 0, 255).astype(np.uint8))


def weights(filter_: Filter, start: float, stop: float, full: float, pixels: int, side: int) -> Pixels:
    """One axis as a (side, pixels) matrix: crop [start, stop) in level pixels, `full` wide at full size."""
    p = max(1.0, filter_.base / full)
    row = min(round((p - filter_.stretch0) / filter_.stretch_step), filter_.rows - 1)
    widen = max(1.0, p / (filter_.stretch0 + (filter_.rows - 1) * filter_.stretch_step))
    width = stop - start
    centres = start + (np.arange(side) + 0.5) * width / side
    level = np.arange(pixels) + 0.5
    x = np.abs(level - centres[:, None]) * (filter_.base / width / widen)
    k = np.interp(x * filter_.steps, np.arange(filter_.table.shape[1]), filter_.table[row])
    k[(x >= filter_.radius[row]) | (level < start) | (level > stop)] = 0
    k /= k.sum(axis=1, keepdims=True)
    return np.asarray(np.round(k * 2**14) / 2**14)


def resample(image: Image.Image, box: Box, side: int, name: FilterName = "fourier") -> Pixels:
    x = weights(build(side, name), box[0], box[2], box[2] - box[0], image.width, side)
    y = weights(build(side, name), box[1], box[3], box[3] - box[1], image.height, side)
    return np.asarray(np.clip(np.round(y @ np.asarray(image, float) @ x.T), 0, 255))


def base_crop(image: Image.Image, box: Box) -> Image.Image:
    return image.crop(box).resize((224, 224), Image.Resampling.BICUBIC)


def fourier_path(image: Image.Image, box: Box, side: int) -> Pixels:
    """Exact: bicubic to 224, then the central block of the spectrum, on the resizers' centre-aligned grid."""
    k = np.arange(-side // 2, side // 2)
    forward = np.exp(-2j * np.pi * k[:, None] * np.arange(224) / 224)
    grid = (np.arange(side) + 0.5) * 224 / side - 0.5  # base pixels; a corner-aligned one is i * 224 / side
    back = np.exp(2j * np.pi * k * grid[:, None] / 224) / 224
    axis = (back @ forward).real
    return np.asarray(np.clip(axis @ np.asarray(base_crop(image, box), float) @ axis.T, 0, 255))


def lanczos_path(image: Image.Image, box: Box, side: int) -> Pixels:
    """The one EfficientTrain++ published: bicubic to 224, then Lanczos-3."""
    return np.asarray(base_crop(image, box).resize((side, side), Image.Resampling.LANCZOS), float)


def psnr(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.mean((a - b) ** 2)))


@pytest.mark.parametrize("box", SHRUNK + ENLARGED)
@pytest.mark.parametrize("side", [48, 96, 224, 288])
def test_bicubic_is_pillows(side: int, box: Box) -> None:
    """Axis by axis, since Pillow rounds and clips between the two passes, and may take either first."""
    image, filter_ = picture(), build(side, "bicubic")
    pixels = np.asarray(image, float)
    across = weights(filter_, box[0], box[2], box[2] - box[0], image.width, side)
    down = weights(filter_, box[1], box[3], box[3] - box[1], image.height, side)
    crop = image.crop(box)
    for ours, pillow in (
        ((pixels @ across.T)[box[1] : box[3]], crop.resize((side, crop.height), Image.Resampling.BICUBIC)),
        ((down @ pixels)[:, box[0] : box[2]], crop.resize((crop.width, side), Image.Resampling.BICUBIC)),
    ):
        assert np.abs(np.clip(np.round(ours), 0, 255) - np.asarray(pillow, float)).max() <= 1


@pytest.mark.parametrize(("side", "gain"), [(32, 2.0), (96, 2.0), (160, 1.5), (192, 0.3)])
def test_fourier_is_closer_to_the_fourier_crop_than_the_published_path(side: int, gain: float) -> None:
    ours, published = [], []
    for image in (picture(0), picture(1)):
        for box in SHRUNK:
            exact = fourier_path(image, box, side)
            ours.append(psnr(resample(image, box, side), exact))
            published.append(psnr(lanczos_path(image, box, side), exact))
    assert min(ours) > 38.5
    assert np.median(ours) > np.median(published) + gain


@pytest.mark.parametrize(("side", "least"), [(32, 52), (96, 52), (160, 46), (192, 41)])
@pytest.mark.parametrize("box", SHRUNK + ENLARGED)
def test_lanczos_is_the_published_path(side: int, least: float, box: Box) -> None:
    """Less so towards 224, where the published path's sampling at 224 px in between begins to alias."""
    image = picture()
    assert psnr(resample(image, box, side, "lanczos"), lanczos_path(image, box, side)) > least


@pytest.mark.parametrize("crop", [12, 30, 46, 60, 100])
@pytest.mark.parametrize("side", [16, 32, 48, 64, 96])
def test_rows_cover_strong_enlarging(side: int, crop: int) -> None:
    """Also where the low-pass is wide: a crop of 12 pixels has all of them at 16 x 16."""
    image, box = picture(), (60, 70, 60 + crop, 70 + crop)
    assert psnr(resample(image, box, side), fourier_path(image, box, side)) > 36
    assert psnr(resample(image, box, side, "lanczos"), lanczos_path(image, box, side)) > 44


@pytest.mark.parametrize("name", get_args(FilterName))
@pytest.mark.parametrize("side", [16, 96, 222, 224, 1024])
def test_a_flat_crop_stays_flat(side: int, name: FilterName) -> None:
    """Weights rounded to 14 bits do not add up to a visible change of brightness."""
    for full in (16, 133, 1000):
        rows = weights(build(side, name), 3.25, 3.25 + full, full, full + 8, side)
        assert np.abs(rows.sum(axis=1) - 1).max() * 255 < 0.5


@pytest.mark.parametrize("side", range(16, 256, 16))
@pytest.mark.parametrize("name", get_args(FilterName))
def test_a_table_keeps_its_promises(side: int, name: FilterName) -> None:
    filter_ = build(side, name)
    assert filter_.table.dtype == filter_.radius.dtype == np.float32
    assert filter_.table.shape[0] == filter_.rows == len(filter_.radius)
    assert filter_.table.shape[1] > np.floor(filter_.radius.max() * filter_.steps) + 1
    assert filter_.table.nbytes <= 300_000
    assert np.all(filter_.table[:, 0] == 1)
    assert np.all(np.abs(filter_.table) <= 1)


def test_every_name_is_bicubic_from_the_base_on() -> None:
    for side in (224, 320):
        filters = [build(side, name) for name in get_args(FilterName)]
        assert all(np.array_equal(f.table, filters[-1].table) and f.base == side for f in filters)
    assert build(96).base == 224
    assert build(96, base=64).base == 96


def test_built_once_and_read_only() -> None:
    assert build(96) is build(96)
    with pytest.raises(ValueError, match="read-only"):
        build(96).table[0, 0] = 2


def test_unknown_name() -> None:
    message = r"^`filter` must be one of 'fourier', 'lanczos', 'bicubic', got 'nearest'\.$"
    with pytest.raises(ValueError, match=message):
        build(96, "nearest")
