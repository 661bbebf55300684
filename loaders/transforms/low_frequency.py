"""The low frequencies of whole batches, B x B pixels each: the Fourier crop of EfficientTrain, or Pillow's Lanczos.

Both are linear and separable, so each consists of two matrix products, with small matrices computed once.

Note [the two grids]: the published Fourier crop samples the low-passed image at j * H / B, counted in pixels from the
centre of the first pixel; resizers, including `lanczos`, at (j + 1/2) * H / B - 1/2. The same image is therefore
shifted by (1 - B / H) / 2 output pixels to the right and down in the Fourier crop: 0.29 at 224 to 96, 0.14 to 160, 0.07
to 192.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..native import LowPass
from .device import constant, portions
from .normalize import Normalize
from .precision import product

_LOBES = 3
_ONE = 1 << 22  # 1.0 in Pillow's fixed-point weights


class LowFrequencyCrop(nn.Module):
    """Reduces images of H x W pixels to images of B x B pixels that contain their low frequencies.

    `fourier` is `freq_crop` of EfficientTrain (ICCV 2023): two-dimensional DFT, the B x B lowest frequencies, inverse
    DFT of that size with unchanged intensities, real part. The published code supports only square images and even B
    (it rounds odd B down). Here each axis has its own scale if H is not W; odd B = 2b + 1 keeps the frequencies -b to
    b, and even B = 2b keeps -b to b - 1. Output may overshoot the input's range, because the kept waves ring at edges.

    `lanczos` is Pillow's `resize` with its Lanczos filter, as in EfficientTrain++ (TPAMI 2024): uint8 images give
    Pillow's pixels, bit for bit; floats are not rounded.

    The two methods use different grids: see Note [the two grids] in the source. Both keep the mean of a flat
    image, so they commute with normalisation except for the rounding of uint8.

    There is no randomness and no waiting for the device. Gradients are supported if images are floats. Arithmetic is
    float32 even under autocast, and full precision even if TF32 is allowed; `lanczos` of uint8 uses whole numbers.

    Args:
        resolution: B, side of the output in pixels, 1 or more.
        method: "fourier" or "lanczos".
    """

    def __init__(self, resolution: int, method: str = "fourier") -> None:
        super().__init__()
        if resolution < 1:
            raise ValueError(f"`resolution` must be 1 or more pixels, got {resolution}.")
        if method not in ("fourier", "lanczos"):
            raise ValueError(f"`method` must be 'fourier' or 'lanczos', got {method!r}.")
        self.resolution = resolution
        self.method = method

    def extra_repr(self) -> str:
        return f"resolution={self.resolution}, method={self.method!r}"

    def for_kernel(self, side: int, normalise: Normalize | None = None) -> LowPass:
        """The same operation for the C++ kernel, for images of `side` x `side` pixels.

        Lanczos is equal bit for bit, Fourier up to float32's rounding.

        Args:
            side: above B, pixels.
            normalise: for Fourier: converts the low frequencies to float32; None: they are rounded to 8 bits.
        """
        statistics = None if normalise is None else (normalise.mean, normalise.std)
        return _for_kernel(side, self.resolution, self.method, statistics)

    def forward(self, images: Tensor, _batch: object = None) -> Tensor:
        """The low frequencies of `images`; `images` unchanged if they already have B x B pixels.

        Args:
            images: uint8 or floating-point [N, C, H, W] on any device, H and W at least B.

        Returns:
            [N, C, B, B] of the same dtype: uint8 rounded and clipped to 0 to 255, floats unrounded and unclipped.

        Raises:
            ValueError: for another shape or dtype, or images smaller than B.
        """
        _check(images, self.resolution)
        if images.shape[-2:] == (self.resolution, self.resolution):
            return images
        shrink = _fourier if self.method == "fourier" else _lanczos
        with torch.autocast(images.device.type, enabled=False):
            return torch.cat([shrink(images[part], self.resolution) for part in portions(images)])


def _fourier(images: Tensor, resolution: int) -> Tensor:
    down, across = (constant(_waves, side, resolution, device=images.device) for side in images.shape[-2:])
    crop = product(down, product(images.float(), across.mT))
    if resolution % 2 == 0:
        # Note [Nyquist]: frequency -b is kept and b is not. Along one axis this is the matrix R + i u v^T, where R is
        # real and contains half of each of the two, u is 1, -1, 1, ..., and v is a sine of frequency b. For both axes
        # together the real part is R X R'^T - (v^T X v') u u'^T. v is the last row of `_waves`, so the number in
        # brackets is the last element. It represents only the corner (-b, -b) of the spectrum.
        sign = 1 - 2 * (torch.arange(resolution, device=images.device) % 2)
        crop = crop[..., :-1, :-1] - crop[..., -1:, -1:] * (sign * sign[:, None])
    return _as(images, crop)


def _lanczos(images: Tensor, resolution: int) -> Tensor:
    exact = not images.is_floating_point()
    make, dtype = (_whole_taps, torch.float64) if exact else (_taps, torch.float32)
    down, across = (constant(make, side, resolution, device=images.device, dtype=dtype) for side in images.shape[-2:])
    if not exact:
        return product(down, product(images.float(), across.mT)).to(images.dtype)
    # Pillow calculates in multiples of 1 / _ONE below 2**9. float64 holds them exactly, so the order of sums does not
    # matter.
    return _levels(down @ _levels(images.double() @ across.mT)).to(images.dtype)


def _waves(side: int, resolution: int) -> NDArray[np.float64]:
    """[B, side], for even B [B + 1, side]: the Fourier crop along one axis; see Note [Nyquist]."""
    # With t = j / B - n / side: the sum of exp(2 pi i k t) over k from -b to b; for even B both ends count half.
    turns = (np.arange(resolution)[:, None] * side - np.arange(side) * resolution) % (resolution * side)
    half = np.pi * turns / (resolution * side)
    below = np.sin(half) if resolution % 2 else np.tan(half)
    kernel = np.divide(np.sin(resolution * half), below, out=np.full(half.shape, float(resolution)), where=turns > 0)
    if resolution % 2 == 0:
        kernel = np.vstack((kernel, np.sin(2 * np.pi * (np.arange(side) * (resolution // 2) % side) / side)))
    return kernel / side


def _taps(side: int, resolution: int) -> NDArray[np.float64]:
    """[B, side]: Pillow's Lanczos weights along one axis (`precompute_coeffs` of its Resample.c)."""
    scale = side / resolution
    centre = (np.arange(resolution)[:, None] + 0.5) * scale
    reach = _LOBES * scale
    pixel = np.arange(side)
    near = (pixel >= np.floor(centre - reach + 0.5)) & (pixel < np.floor(centre + reach + 0.5))
    x = (pixel + 0.5 - centre) / scale
    weights = np.where(near, np.sinc(x) * np.sinc(x / _LOBES), 0)
    return weights / weights.sum(1, keepdims=True)


def _whole_taps(side: int, resolution: int) -> NDArray[np.float64]:
    """`_taps` rounded to multiples of 1 / _ONE (`normalize_coeffs_8bpc` there)."""
    weights = _taps(side, resolution) * _ONE
    return np.trunc(weights + np.copysign(0.5, weights)) / _ONE


def _levels(sums: Tensor) -> Tensor:
    """Sums as 8-bit levels; halves are rounded up."""
    return (sums + 0.5).floor().clamp(0, 255)


def _as(images: Tensor, crop: Tensor) -> Tensor:
    """`crop` in the dtype of `images`."""
    return crop.to(images.dtype) if images.is_floating_point() else _round(crop).to(images.dtype)


def _round(levels: Tensor) -> Tensor:
    return levels.round().clamp(0, 255)


@lru_cache(maxsize=64)
def _for_kernel(
    side: int, resolution: int, method: str, statistics: tuple[tuple[float, ...], tuple[float, ...]] | None
) -> LowPass:
    if method == "lanczos":
        whole = (_whole_taps(side, resolution) * _ONE).astype(np.int32)
        first, last = (whole != 0).argmax(1), side - (whole != 0)[:, ::-1].argmax(1)
        taps = np.stack((first, last - first), 1).astype(np.int32)
        columns = np.minimum(first[:, None] + np.arange((last - first).max()), side - 1)
        return LowPass(side=resolution, taps=taps, weights=np.take_along_axis(whole, columns, 1))
    even, odd = _folded(side, resolution)
    return LowPass(
        side=resolution,
        down_even=_padded(even, 4),
        down_odd=_padded(odd, 4),
        across_even=np.ascontiguousarray(_padded(even, 8).T),
        across_odd=np.ascontiguousarray(_padded(odd, 8).T),
        corner=resolution % 2 == 0,
        normalise=None if statistics is None else np.array(statistics, np.float32),
    )


def _folded(side: int, resolution: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The Fourier crop's matrices for sums and differences of opposite pixels, for one of two opposite outputs.

    See Note [folding] in loaders/native/augment/low_pass.cpp.

    Returns:
        Even part [B // 2 + 1, side // 2 + 1], and odd part [(B - 1) // 2, (side - 1) // 2]; for even B the last row of
        `_waves` is one more row of the latter.
    """
    waves = _waves(side, resolution)
    opposite = waves[:, -np.arange(side)]
    even, odd = (waves + opposite)[:, : side // 2 + 1] / 2, (waves - opposite)[:, 1 : (side + 1) // 2] / 2
    return even[: resolution // 2 + 1], np.concatenate((odd[1 : (resolution + 1) // 2], odd[resolution:]))


def _padded(matrix: NDArray[np.float64], multiple: int) -> NDArray[np.float32]:
    """The matrix with rows of zeros added, so that the number of rows is a multiple of `multiple`."""
    return np.pad(matrix, ((0, -len(matrix) % multiple), (0, 0))).astype(np.float32)


def _check(images: Tensor, resolution: int) -> None:
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"`images` must be uint8 or floating-point, got {images.dtype}.")
    if images.ndim != 4:
        raise ValueError(f"`images` must be [N, C, H, W], got {list(images.shape)}.")
    if min(images.shape[-2:]) < resolution:
        size = " x ".join(map(str, images.shape[-2:]))
        raise ValueError(f"`images` must have at least `resolution` = {resolution} pixels a side, got {size}.")
