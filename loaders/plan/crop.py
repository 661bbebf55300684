"""Which part of a sample is shown: a random crop and flip in training, the centre in evaluation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .rng import Purpose, below, uniform, words

SCALE = (0.08, 1.0)
"""Smallest and largest share of the image's area that a random crop aims at, as torchvision."""
RATIO = (3.0 / 4.0, 4.0 / 3.0)
"""Smallest and largest width / height that a random crop aims at, as torchvision."""
ATTEMPTS = 10
"""Tries before the central fallback, as torchvision."""
_FEW = 3  # tries that are made for all samples at once; few need more
CENTRE = 0.875
"""Side of the evaluation crop / short side of the resized image: 224 / 256."""


def train_boxes(
    widths: NDArray[np.number], heights: NDArray[np.number], seed: int, epoch: int, indices: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Random resized crops, distributed exactly as `torchvision.transforms.RandomResizedCrop.get_params`.

    Args:
        widths, heights: full size of each sample in pixels, [n], at least 1.
        seed, epoch, indices: what the draws depend on, see `draws.words`.

    Returns:
        [n, 4], x0, y0, x1, y1 in full-size pixels: whole numbers inside the image.
    """
    size = np.stack((widths, heights)).astype(np.float64)
    boxes, found = _first_fit(size, words(seed, epoch, indices, Purpose.CROP, 4 * _FEW))
    if not found.all():
        rest = np.flatnonzero(~found)
        drawn = words(seed, epoch, indices[rest], Purpose.CROP, 4 * ATTEMPTS)
        boxes[rest], found[rest] = _first_fit(size[:, rest], drawn)
    return boxes if found.all() else np.where(found[:, None], boxes, _central(size))


def _first_fit(size: NDArray[np.float64], drawn: NDArray[np.uint32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The first try that fits into each image, as a box [n, 4], and whether there is one, [n].

    size: [2, n]. drawn: [n, 4 * tries].
    """
    tries = drawn.reshape(len(drawn), drawn.shape[1] // 4, 4)
    area = _between(*SCALE, tries[..., 0]) * size.prod(axis=0)[:, None]
    aspect = np.exp(_between(math.log(RATIO[0]), math.log(RATIO[1]), tries[..., 1]))
    sides = np.rint(np.sqrt((area * aspect, area / aspect)))
    inside = (sides > 0) & (sides <= size[:, :, None])
    fits = inside[0] & inside[1]

    sample, attempt = np.arange(len(tries)), fits.argmax(axis=1)
    sides = sides[:, sample, attempt]
    room = (size - sides).astype(np.int64)
    start = below(tries[sample, attempt, 2:].T, room + 1).astype(np.float64)
    return np.concatenate((start, start + sides)).T, fits[sample, attempt]


def flips(seed: int, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """[n], 1 where a sample is mirrored left to right: every other one on average."""
    return (words(seed, epoch, indices, Purpose.FLIP, 1)[:, 0] >> 31).astype(np.uint8)


def eval_boxes(widths: NDArray[np.number], heights: NDArray[np.number], resolution: int) -> NDArray[np.float64]:
    """The part of each image that `Resize(int(resolution / 0.875))` and `CenterCrop(resolution)` leave.

    torchvision rounds the resized long side down and the crop's offset to the nearest (half to even); both
    are followed. The short side is resized to at least `resolution`, be the image ever so small, so the crop
    never leaves the image and torchvision's zero padding never arises.

    Returns:
        [n, 4], x0, y0, x1, y1 in full-size pixels, fractional, inside the image.
    """
    size = np.stack((widths, heights)).astype(np.int64)
    resized = int(resolution / CENTRE) * size // size.min(axis=0)
    start = np.rint((resized - resolution) / 2)
    # Multiplied before divided, so that a whole side comes out exactly.
    return np.concatenate((start * size / resized, (start + resolution) * size / resized)).T


def _between(low: float, high: float, drawn: NDArray[np.uint32]) -> NDArray[np.float64]:
    return low + (high - low) * uniform(drawn)


def _central(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest central boxes whose aspect ratio is allowed, [n, 4]; `size` is [2, n]."""
    sides = np.minimum(size, np.rint(size[::-1] * ((RATIO[1],), (1 / RATIO[0],))))
    start = (size - sides) // 2
    return np.concatenate((start, start + sides)).T
