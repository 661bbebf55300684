"""Which stored level to read and at which DCT scale: the coarsest that still has enough pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# These numbers trade speed for fidelity. In training, a level with just enough pixels serves, because levels are made
# by a sharp low-pass. The DCT's own reduction blurs; from 1.5 pixels on it is closer to the exact path than the
# published one.
OVERSAMPLE = 1.0
"""Pixels that a crop must have at a level, on both sides, per pixel of output."""
DCT_OVERSAMPLE = {2: 1.5, 4: 1.5, 8: 1.5}
"""DCT denominator -> pixels that a crop must keep after scaling, on both sides, per pixel of output."""
# Evaluation is compared with Pillow's resizing of the full size. Median PSNR on ImageNet photographs, bicubic: 48 dB
# from a level with 2 to 3 pixels per pixel of output, 52 dB with 4 to 6; at DCT scale 1/2, 51 dB with 2 to 3 and 54 dB
# with 3 to 4.
EVAL_OVERSAMPLE = 4.0
"""`OVERSAMPLE` in evaluation."""
EVAL_DCT_OVERSAMPLE = {2: 3.0, 4: 3.0, 8: 3.0}
"""`DCT_OVERSAMPLE` in evaluation."""


def choose(
    entries: NDArray[np.void],
    boxes: NDArray[np.float64],
    resolution: int,
    oversample: float,
    dct_oversample: Mapping[int, float],
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Level and DCT scale for each sample.

    Args:
        entries: `ENTRY` records, [n, levels], full size first, then ever smaller; a width of 0 marks a level
            that is not stored.
        boxes: crops x0, y0, x1, y1 in full-size pixels, [n, 4].
        resolution: side of the output in pixels.
        oversample, dct_oversample: see `OVERSAMPLE` and `DCT_OVERSAMPLE`. Where no level has as many pixels, it is the
            full-size level.

    Returns:
        levels [n], and DCT denominators 1, 2, 4 or 8, [n].
    """
    size = np.stack((entries["width"], entries["height"]), axis=-1).astype(np.float64)
    crop = (boxes[:, 2:] - boxes[:, :2])[:, None]
    # The shorter side decides. Multiplied before divided: a crop of exactly enough pixels counts as enough.
    pixels = (crop * size / size[:, :1]).min(axis=-1)
    enough = pixels >= oversample * resolution
    enough[:, 0] = True
    level = enough.shape[1] - 1 - enough[:, ::-1].argmax(axis=1)

    pixels = pixels[np.arange(len(level)), level]
    scale = np.ones(len(level), np.uint8)
    for denominator, factor in sorted(dct_oversample.items()):
        scale[pixels >= factor * denominator * resolution] = denominator
    return level, scale
