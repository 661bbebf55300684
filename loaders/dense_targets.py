"""Dense targets: a mask for each image, cut by the image's own crop and flip, without interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import LoaderError
from .pillow import decode_stored

OUTSIDE = 255
"""Value of mask pixels outside the image: the usual "ignore" of segmentation."""


def cut_masks(
    files: Sequence[bytes], crops: NDArray[np.floating[Any]], flips: NDArray[np.bool_], side: int
) -> NDArray[np.int64]:
    """Each mask under its crop, resampled to the nearest pixel: int64 [n, B, B].

    Args:
        files: encoded masks of one channel (PNG, JPEG, ...), as large as their images.
        crops: x0, y0, x1, y1 in pixels of the full image, [n, 4]; may reach outside it, where the result is `OUTSIDE`.
        flips: mirrored left to right, [n].
        side: B.

    Raises:
        LoaderError: a mask cannot be decoded.
    """
    out = np.full((len(files), side, side), OUTSIDE, np.int64)
    steps = (np.arange(side) + 0.5) / side
    for k, file in enumerate(files):
        mask = decode_mask(file)
        x0, y0, x1, y1 = crops[k].astype(np.float64)
        columns = np.floor(x0 + steps * (x1 - x0)).astype(np.int64)
        rows = np.floor(y0 + steps * (y1 - y0)).astype(np.int64)
        if flips[k]:
            columns = columns[::-1]
        inside = np.ix_((rows >= 0) & (rows < mask.shape[0]), (columns >= 0) & (columns < mask.shape[1]))
        rows, columns = rows[inside[0].ravel()], columns[inside[1].ravel()]
        out[k][inside] = mask[np.ix_(rows, columns)]
    return out


def decode_mask(file: bytes) -> NDArray[Any]:
    """Pixels of a mask [height, width]; those of a palette image are its indices.

    Raises:
        LoaderError: it cannot be decoded, or has several channels.
    """
    try:
        pixels = decode_stored(file)
    except LoaderError as error:
        raise LoaderError(f"a mask cannot be decoded: {error}") from None
    if pixels.ndim != 2:
        raise LoaderError(f"a mask must have one channel, got pixels of shape {list(pixels.shape)}")
    return pixels
