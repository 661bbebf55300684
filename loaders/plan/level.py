"""Chooses the stored level and the DCT scale of each sample: the coarsest that still has enough pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# These numbers trade speed for fidelity. In training, a level with just enough pixels suffices, because levels are made
# with a sharp low-pass. The DCT's own reduction blurs; from 1.5 pixels per output pixel on, its result is closer to the
# exact path than the published path is.
# Between 96 and 160, just enough pixels are up to 0.5 dB worse than the published path (median over random crops of two
# sets of photographs); a tenth more pixels is at least 0.09 dB better, and reads 12 to 22 % more bytes.
OVERSAMPLE, OVERSAMPLE_BETWEEN = 1.0, 1.1
"""Pixels that a crop must have at a level, on both sides, per pixel of output; the latter between 96 and 160."""
DCT_OVERSAMPLE = {2: 1.5, 4: 1.5, 8: 1.5}
"""DCT denominator -> pixels that a crop must keep after scaling, on both sides, per pixel of output."""
# In evaluation the reference is Pillow's resizing of the full size. Median PSNR on ImageNet photographs, bicubic: 48 dB
# from a level with 2 to 3 pixels per pixel of output, 52 dB with 4 to 6; at DCT scale 1/2, 51 dB with 2 to 3 and 54 dB
# with 3 to 4.
EVAL_OVERSAMPLE = 4.0
"""`OVERSAMPLE` in evaluation."""
EVAL_DCT_OVERSAMPLE = {2: 3.0, 4: 3.0, 8: 3.0}
"""`DCT_OVERSAMPLE` in evaluation."""


def oversample(resolution: int, train: bool) -> float:
    """Pixels that a crop must have at a level, on both sides, per pixel of output."""
    if not train:
        return EVAL_OVERSAMPLE
    return OVERSAMPLE_BETWEEN if 96 < resolution < 160 else OVERSAMPLE


def choose(
    entries: NDArray[np.void],
    boxes: NDArray[np.float64],
    resolution: int,
    enough: float,
    enough_scaled: Mapping[int, float],
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Level and DCT scale for each sample.

    Args:
        entries: `ENTRY` records, [n, levels], full size first, then ever smaller; a width of 0 marks a level
            that is not stored.
        boxes: crops x0, y0, x1, y1 in full-size pixels, [n, 4].
        resolution: side of the output in pixels.
        enough: see `oversample`. If no level has enough pixels, the full-size level is taken.
        enough_scaled: see `DCT_OVERSAMPLE`.

    Returns:
        levels [n], and DCT denominators 1, 2, 4 or 8, [n].
    """
    size = np.stack((entries["width"], entries["height"]), axis=-1).astype(np.float64)
    crop = (boxes[:, 2:] - boxes[:, :2])[:, None]
    # The shorter side decides. Multiplication before division: a crop of exactly enough pixels counts as enough.
    pixels = (crop * size / size[:, :1]).min(axis=-1)
    serves = pixels >= enough * resolution
    serves[:, 0] = True
    level = serves.shape[1] - 1 - serves[:, ::-1].argmax(axis=1)

    pixels = pixels[np.arange(len(level)), level]
    scale = np.ones(len(level), np.uint8)
    for denominator, factor in sorted(enough_scaled.items()):
        scale[pixels >= factor * denominator * resolution] = denominator
    return level, scale
