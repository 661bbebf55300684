"""The crop of each sample: a random crop and flip in training, a fixed crop in evaluation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .geometry import CropGeometry
from .rng import Purpose, below, between, uniform, words

DEFAULT = CropGeometry()
ATTEMPTS = 10
"""Tries before the central fallback, as in torchvision."""
_FEW = 3  # tries that are made for all samples at once; few samples need more


def train_boxes(
    widths: NDArray[np.number],
    heights: NDArray[np.number],
    seed: int,
    epoch: int,
    keys: NDArray[np.int64],
    geometry: CropGeometry = DEFAULT,
) -> NDArray[np.float64]:
    """Random resized crops, distributed exactly as `torchvision.transforms.RandomResizedCrop.get_params`.

    Args:
        widths, heights: full size of each sample in pixels, [n], at least 1.
        seed, epoch, keys: they determine the draws, see `rng.words`; draw keys [n].
        geometry: its `scale` and `ratio` are used.

    Returns:
        [n, 4], x0, y0, x1, y1 in full-size pixels: whole numbers inside the image.
    """
    size = np.stack((widths, heights)).astype(np.float64)
    boxes, found = _first_fit(size, words(seed, epoch, keys, Purpose.CROP, 4 * _FEW), geometry)
    if not found.all():
        rest = np.flatnonzero(~found)
        drawn = words(seed, epoch, keys[rest], Purpose.CROP, 4 * ATTEMPTS)
        boxes[rest], found[rest] = _first_fit(size[:, rest], drawn, geometry)
    return boxes if found.all() else np.where(found[:, None], boxes, _central(size, geometry))


def _first_fit(
    size: NDArray[np.float64], drawn: NDArray[np.uint32], geometry: CropGeometry
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """For each image the first try that fits, as a box [n, 4], and whether there is one, [n].

    size: [2, n]. drawn: [n, 4 * tries].
    """
    (least, most), (narrow, wide) = geometry.scale, geometry.ratio
    tries = drawn.reshape(len(drawn), drawn.shape[1] // 4, 4)
    area = between(least, most, tries[..., 0]) * size.prod(axis=0)[:, None]
    aspect = np.exp(between(math.log(narrow), math.log(wide), tries[..., 1]))
    sides = np.rint(np.sqrt((area * aspect, area / aspect)))
    inside = (sides > 0) & (sides <= size[:, :, None])
    fits = inside[0] & inside[1]

    sample, attempt = np.arange(len(tries)), fits.argmax(axis=1)
    sides = sides[:, sample, attempt]
    room = (size - sides).astype(np.int64)
    start = below(tries[sample, attempt, 2:].T, room + 1).astype(np.float64)
    return np.concatenate((start, start + sides)).T, fits[sample, attempt]


def flips(seed: int, epoch: int, keys: NDArray[np.int64], probability: float = DEFAULT.hflip) -> NDArray[np.uint8]:
    """[n], 1 if a sample is mirrored left to right; a higher probability flips the same samples and more."""
    drawn = uniform(words(seed, epoch, keys, Purpose.FLIP, 1)[:, 0])
    return (drawn >= 1 - probability).astype(np.uint8)


def eval_boxes(
    widths: NDArray[np.number], heights: NDArray[np.number], resolution: int, geometry: CropGeometry = DEFAULT
) -> NDArray[np.float64]:
    """The part of each image that evaluation shows: the whole image is resized, then its centre is cropped.

    Rounding follows torchvision's `Resize` (mode "center": the long side is rounded down) and `CenterCrop` (offsets are
    rounded half to even), and timm's `ResizeKeepRatio` and `CenterCropOrPad` (mode "border"). If the resized image
    is smaller than the crop, the box extends beyond the image by whole output pixels, which the kernel must fill.

    Returns:
        [n, 4], x0, y0, x1, y1 in full-size pixels, fractional.
    """
    size = np.stack((widths, heights)).astype(np.int64)
    side = geometry.resized(resolution)
    if geometry.crop_mode == "squash":
        resized = np.full_like(size, side)
    elif geometry.crop_mode == "border":
        resized = np.maximum(1, np.rint(size / (size.max(axis=0) / side))).astype(np.int64)
    else:
        resized = side * size // size.min(axis=0)
    spare = resized - resolution
    start = np.where(spare >= 0, np.rint(spare / 2), -(-spare // 2))
    # Multiplication before division, so that a whole side is exact.
    return np.concatenate((start * size / resized, (start + resolution) * size / resized)).T


def _central(size: NDArray[np.float64], geometry: CropGeometry) -> NDArray[np.float64]:
    """The largest central boxes whose aspect ratio is allowed, [n, 4]; `size` is [2, n]."""
    narrow, wide = geometry.ratio
    sides = np.minimum(size, np.maximum(1, np.rint(size[::-1] * ((wide,), (1 / narrow,)))))
    start = (size - sides) // 2
    return np.concatenate((start, start + sides)).T
