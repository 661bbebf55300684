"""Reference pixels: the exact low-frequency path and the official approximation of it, in Pillow and NumPy.

Exact: decode the whole image, crop, bicubic to 224 (Pillow), keep the BxB lowest frequencies (the ICCV 2023 code: 2-D
DFT, centre BxB, inverse, real part). Official: the same 224 image, Lanczos to B (the TPAMI 2024 code).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .harness.report import EQUAL

BASE = 224  # side of the crop before low frequencies are taken, pixels


@cache
def fourier_matrix(base: int, resolution: int, centred: bool = True) -> NDArray[np.complex128]:
    """[B, base] complex: along one axis, DFT, frequencies -B/2 .. B/2 - 1, inverse of B points, scaled by B/base.

    The ICCV code's samples lie at j * base / B, in pixels counted from the first pixel's centre
    ("corner-aligned"). `centred` moves them to (j + 0.5) * base / B - 0.5, where every centre-aligned resizer
    (Pillow's, ours) has its own: the same low-passed image, read at other points, so that images can be
    compared pixel by pixel.
    """
    positions = np.arange(resolution) * base / resolution + (0.5 * (base / resolution - 1) if centred else 0.0)
    frequencies = np.arange(-(resolution // 2), resolution // 2)
    distances = positions[:, None] - np.arange(base)
    return np.exp(2j * np.pi / base * distances[..., None] * frequencies).sum(axis=-1) / base


def fourier_crop(image: NDArray[np.generic], resolution: int, centred: bool = True) -> NDArray[np.float64]:
    """The BxB lowest frequencies of a square image [H, H, channels], not clipped or rounded: [B, B, channels]."""
    matrix = fourier_matrix(len(image), resolution, centred)
    rows = np.tensordot(matrix, image.astype(np.float64), axes=(1, 0))
    return np.ascontiguousarray(np.einsum("jw,iwc->ijc", matrix, rows, optimize=True).real)


def base_crop(image: Image.Image, box: tuple[int, int, int, int], flip: bool, resolution: int) -> Image.Image:
    """Crop, bicubic to 224x224 (to B if that is more), flip: the common start of both paths."""
    side = max(BASE, resolution)
    crop = image.crop(box).resize((side, side), Image.Resampling.BICUBIC)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else crop


def exact(base: Image.Image, resolution: int) -> NDArray[np.float64]:
    """The exact path, [B, B, 3] in 0-255 with the overshoot that it has. From B = 224 on: the bicubic crop itself."""
    pixels = np.asarray(base)
    return fourier_crop(pixels, resolution) if resolution < len(pixels) else pixels.astype(np.float64)


def official(base: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """The official path, [B, B, 3]."""
    small = base.resize((resolution, resolution), Image.Resampling.LANCZOS) if resolution < base.width else base
    return np.asarray(small)


def psnr(image: NDArray[np.generic], reference: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB, peak 255; `EQUAL` at most, the value of equal images."""
    error = np.mean(np.square(image.astype(np.float64) - reference.astype(np.float64)))
    return min(EQUAL, float(10 * np.log10(255**2 / error))) if error else EQUAL
