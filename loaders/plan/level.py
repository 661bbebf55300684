"""How little to decode: the coarsest stored level, then the largest DCT scale, that still has the pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# These numbers trade speed for sharpness. Levels are made by a sharp low-pass, so that one with just enough pixels will
# do; the DCT's own reduction blurs, and stays closer to the exact path than the published one from 1.5 pixels on.
OVERSAMPLE = 1.0
"""Pixels that a crop must have at a level, on both sides, per pixel of output."""
DCT_OVERSAMPLE = {2: 1.5, 4: 1.5, 8: 1.5}
"""DCT denominator -> pixels that a crop must keep after scaling, on both sides, per pixel of output."""


def choose(
    entries: NDArray[np.void], boxes: NDArray[np.float64], resolution: int, oversample: float = OVERSAMPLE
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Level and DCT scale for each sample.

    Args:
        entries: `ENTRY` records, [n, levels], full size first, then ever smaller; a width of 0 marks a level
            that is not stored.
        boxes: crops x0, y0, x1, y1 in full-size pixels, [n, 4].
        resolution: side of the output in pixels.
        oversample: see `OVERSAMPLE`. The full-size level serves where no level has as many pixels.

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
    for denominator, factor in sorted(DCT_OVERSAMPLE.items()):
        scale[pixels >= factor * denominator * resolution] = denominator
    return level, scale
