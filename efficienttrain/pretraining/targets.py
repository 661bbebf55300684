"""Targets of the decoder for a patch: its pixels, or its histograms of oriented gradients.

A target is called with images [n, 3, B, B], normalised as the loader delivers them, and returns float32
[n, patches, width], patches row by row. `picture` is the inverse, as far as possible.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Target(Protocol):
    """See Pixels and Hog."""

    width: int
    """Numbers per patch."""
    shows_image: bool
    """Whether `picture` of the target itself is the image."""

    def __call__(self, images: Tensor) -> Tensor: ...

    def picture(self, images: Tensor, values: Tensor) -> Tensor:
        """Images [n, 3, B, B] of `values` [n, patches, width], predicted for `images`."""


class Pixels:
    """A patch's pixels minus their mean, divided by their deviation (MAE, section 4.1, "w/ norm")."""

    shows_image = True

    def __init__(self, patch: int) -> None:
        """patch: its side, pixels."""
        self._patch, self.width = patch, 3 * patch**2

    def __call__(self, images: Tensor) -> Tensor:
        pixels = cut(images.float(), self._patch)
        mean, deviation = _moments(pixels)
        return (pixels - mean) / deviation

    def picture(self, images: Tensor, values: Tensor) -> Tensor:
        """See `Target.picture`. Uses the patches' true means and deviations, which the values do not contain."""
        mean, deviation = _moments(cut(images.float(), self._patch))
        return paste(values * deviation + mean, self._patch)


class Hog:
    """A patch's histograms of oriented gradients (Dalal and Triggs, CVPR 2005; as a target: MaskFeat, 2112.09133).

    2 x 2 cells per patch, three colours, and 9 bins of 20 degrees, without sign: the centre of bin k is at 20 k + 10
    degrees. Gradients are central differences (borders reflected), weighted by their length and shared between the two
    nearest bins in proportion. Each cell's histogram of each colour has Euclidean length 1 (0 if the cell is flat).
    There is no normalisation over blocks of cells and no Gaussian window, as in MaskFeat.
    """

    shows_image = False
    BINS, CELLS = 9, 2

    def __init__(self, patch: int) -> None:
        """patch: its side, pixels.

        Raises:
            ValueError: the patch does not divide into whole cells.
        """
        if patch % self.CELLS:
            raise ValueError(f'`target="hog"` needs patches of an even number of pixels, got {patch}.')
        self._cell, self.width = patch // self.CELLS, 3 * self.BINS * self.CELLS**2

    def __call__(self, images: Tensor) -> Tensor:
        padded = F.pad(images.float(), (1, 1, 1, 1), mode="reflect")
        across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        length = torch.hypot(across, down)
        angle = torch.atan2(down, across) * (self.BINS / math.pi) - 0.5  # in bins, modulo 9
        votes = []
        for centre in range(self.BINS):
            apart = (angle - centre + self.BINS / 2) % self.BINS - self.BINS / 2  # the short way round
            votes.append(F.avg_pool2d(length * (1 - apart.abs()).clamp(min=0), self._cell))
        cells = torch.stack(votes, dim=2)  # [n, 3, bins, cells down, cells across]
        return cut(F.normalize(cells, dim=2).flatten(1, 2), self.CELLS)

    def picture(self, images: Tensor, values: Tensor) -> Tensor:
        """A line along the edge for each bin of each cell; its brightness is the bin's value; from -2 to 2."""
        histograms = paste(values, self.CELLS)
        count, side = len(images), histograms.shape[-1]
        middle = torch.arange(self._cell, device=values.device) - (self._cell - 1) / 2
        turns = (torch.arange(self.BINS, device=values.device) + 0.5) * (math.pi / self.BINS)
        offsets = middle * turns.cos()[:, None, None] + middle[:, None] * turns.sin()[:, None, None]
        strokes = (1 - offsets.abs()).clamp(min=0)  # [bins, cell, cell]: near the line across the gradient
        shape = (count, 3, self.BINS, side, side)
        lines = torch.einsum("nckyx,kij->ncyixj", histograms.reshape(shape).clamp(min=0), strokes)
        return 4 * lines.reshape(count, 3, side * self._cell, side * self._cell).clamp(max=1) - 2


def make_target(name: str, patch: int) -> Target:
    """The target of this name ("pixels" or "hog") for patches of `patch` pixels a side."""
    return Pixels(patch) if name == "pixels" else Hog(patch)


def cut(images: Tensor, side: int) -> Tensor:
    """Cuts [n, channels, height, width] into squares, [n, squares, channels * side ** 2], row by row."""
    return F.unfold(images, side, stride=side).transpose(1, 2)


def paste(squares: Tensor, side: int) -> Tensor:
    """Square images reassembled from the output of `cut`."""
    size = math.isqrt(squares.shape[1]) * side
    return F.fold(squares.transpose(1, 2), (size, size), side, stride=side)


def _moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(pixels, dim=2, keepdim=True)
    return mean, (variance + 1e-6).sqrt()
