"""Tables of the resampling kernels. The C++ kernel looks values up in them and resamples a crop to B x B in one pass.

The published path resamples twice: Pillow's bicubic to 224 x 224 ("base" pixels), then a low-pass to B x B.
Both steps are linear and separable, so one kernel, the convolution of the two, performs both at once, from any
stored level. Lengths in this file are base pixels: a kernel then depends on the crop only through bicubic's width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .geometry import Interpolation

FilterName = Literal["fourier", "lanczos", "bicubic"]

# Five lobes of the ideal low-pass come 2.4, 2.0 and 0.9 dB closer to the Fourier crop than the published
# Lanczos-3 at B = 96, 160 and 192 (median over random crops of photographs, full size), which pays for the
# compression noise of reduced levels. Six gain 0.5 to 0.7 dB for a fifth more taps; four lose 0.4 to 0.8 dB.
LOBES = 5
# Values from 2.5 to 3.5 work equally well. Larger ones widen the transition band, smaller ones pass high frequencies.
KAISER_BETA = 3.0

# Samples in the narrowest feature of a kernel; linear interpolation is then within 2e-4 of the peak.
_STEPS = 64
# Rows at p = 1, 1 + 1/16, ..., 5 (a crop 45 px wide). Beyond the last row, only bicubic determines the sharpness,
# and its kernel only becomes wider. Below 96 px the low-pass is wider, so the rows are as much farther apart.
_STRETCH_STEP = 1 / 16
_STRETCH_ROWS = 65
_STRETCH_SPACING = 224 / 96
# Share of the peak below which a tail is cut. Bicubic adds this tail at the window's end; the infinite low-pass has
# none. Without the tail there are fewer taps, and the result is no farther from the Fourier crop.
_NEGLIGIBLE = 1 / 80


@dataclass(frozen=True, eq=False)
class Filter:
    """One even kernel K_p(|x|) per stretch p, as a table.

    p = max(1, base / width of the crop at full size) is the width of Pillow's bicubic in base pixels; it is above
    one if the crop is enlarged. K_p is in row = round((p - stretch0) / stretch_step). Beyond the last row, K_p is the
    last row's kernel, widened by p / (that row's p). A level pixel at distance x from an output pixel, measured
    between centres, has the weight K_p(|x|), interpolated linearly between `table[row, i]` at |x| = i / steps, and
    0 from `radius[row]` on. Weights are then normalised to sum 1 over the pixels inside the crop, so the scale of
    a row is arbitrary: its peak is 1.
    """

    base: int  # base pixels across a crop: the side of the published path's first resampling
    steps: int  # table samples per base pixel
    stretch0: float  # p of row 0
    stretch_step: float  # p from one row to the next
    rows: int
    radius: NDArray[np.float32]  # (rows,), base pixels
    table: NDArray[np.float32]  # (rows, columns); for x < radius[row], column floor(x * steps) + 1 exists

    def reach(self, full: NDArray[np.floating]) -> NDArray[np.float64]:
        """Largest distance of a tap from the centre of its output pixel, as a share of the crop's side.

        full: the crop's side in full-size pixels, an array of any shape; the result has the same shape.
        """
        stretch = np.maximum(1.0, self.base / full)
        row = np.minimum(self.rows - 1, ((stretch - 1) / self.stretch_step + 0.5).astype(np.int64))
        last = 1 + (self.rows - 1) * self.stretch_step
        return self.radius[row] * np.maximum(1.0, stretch / last) / self.base


@lru_cache(maxsize=64)
def build(resolution: int, name: FilterName = "fourier", base: int = 224) -> Filter:
    """The filter that resamples a crop to `resolution` x `resolution` pixels, on the grid of Pillow's resizers.

    `name`: the filter that it imitates. From `resolution` = `base` on, all three are "bicubic".

    * "fourier": bicubic to `base`, then the central `resolution` x `resolution` block of the 2-D spectrum
      (EfficientTrain, ICCV 2023, `freq_crop`); this ideal low-pass is infinite, so a Kaiser window limits it.
    * "lanczos": bicubic to `base`, then Lanczos-3 (EfficientTrain++, TPAMI 2024, `transforms.Resize`).
    * "bicubic": directly to `resolution`, by cubic convolution (Keys 1981) with a = -0.5, as in Pillow.

    Results are cached, their arrays read-only. Raises ValueError for any other name.
    """
    names = get_args(FilterName)
    if name not in names:
        raise ValueError(f"`filter` must be one of {', '.join(map(repr, names))}, got {name!r}.")
    if name == "bicubic" or resolution >= base:
        return interpolation(resolution, "bicubic")
    return _composed(resolution, name, base)


@lru_cache(maxsize=64)
def interpolation(resolution: int, name: Interpolation) -> Filter:
    """Pillow's filter `name`, directly from the image to `resolution` x `resolution` pixels; "fourier": see `build`.

    "bilinear" is a triangle of radius 1, "bicubic" Keys' kernel of radius 2, "lanczos" a sinc windowed by a sinc, of
    radius 3. All widen with the reduction, as in `PIL.Image.resize` and in torchvision with `antialias=True`.

    Results are cached, their arrays read-only. Raises ValueError for any other name.
    """
    if name == "fourier":
        return build(resolution, "fourier")
    if name not in _DIRECT:
        names = ", ".join(map(repr, get_args(Interpolation)))
        raise ValueError(f"`interpolation` must be one of {names}, got {name!r}.")
    radius, kernel = _DIRECT[name]
    # A stretched kernel is the same kernel, only wider: one row is exact at every p.
    return _filter(resolution, _STEPS, np.array([radius]), kernel(np.arange(radius * _STEPS + 2) / _STEPS)[None])


def _composed(resolution: int, name: FilterName, base: int) -> Filter:
    """Convolves bicubic, at every stretch, with a low-pass that crosses zero every base / resolution pixels."""
    spacing = base / resolution
    lobes = 3 if name == "lanczos" else LOBES
    step = _STRETCH_STEP * max(1.0, spacing / _STRETCH_SPACING)
    stretch = 1 + step * np.arange(_STRETCH_ROWS)
    reach = lobes * spacing + 2 * stretch
    steps = math.ceil(_STEPS / spacing)  # no detail of the result is finer than the low-pass,
    fine = math.ceil(_STEPS / steps)  # but bicubic is: convolve on a grid this many times finer

    columns = math.ceil(reach[-1] * steps) + 2
    n = 2 * columns * fine  # a ring long enough that the circular convolution does not overlap
    x = np.fft.fftfreq(n, 1 / n) / (steps * fine)
    u = x / spacing
    window = np.sinc(u / lobes) if name == "lanczos" else _kaiser(u / lobes)
    lowpass = np.where(np.abs(u) < lobes, np.sinc(u) * window, 0.0)
    spectra = np.fft.rfft(_bicubic(np.abs(x) / stretch[:, None])) * np.fft.rfft(lowpass)
    table = np.fft.irfft(spectra, n)[:, : columns * fine : fine]
    table /= table[:, :1]

    last = columns - 1 - np.argmax(np.abs(table[:, ::-1]) > _NEGLIGIBLE, axis=1)
    radius = np.minimum(reach, (last + 1) / steps)
    return _filter(base, steps, radius, table[:, : last.max() + 3], step)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5, at distances x >= 0; zero from 2 on."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The triangle of height and half-width 1, at distances x >= 0."""
    return np.maximum(0.0, 1 - x)


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lanczos' windowed sinc with three lobes, at distances x >= 0; zero from 3 on."""
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_DIRECT: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "bilinear": (1.0, _bilinear),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, _lanczos),
}


def _kaiser(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kaiser's window on [-1, 1], up to a factor."""
    return np.i0(KAISER_BETA * np.sqrt(np.clip(1 - x * x, 0, None)))


def _filter(
    base: int, steps: int, radius: NDArray[np.float64], table: NDArray[np.float64], step: float = _STRETCH_STEP
) -> Filter:
    radius32, table32 = radius.astype(np.float32), np.ascontiguousarray(table, np.float32)
    for array in (radius32, table32):
        array.flags.writeable = False  # cached, hence shared
    return Filter(base, steps, 1.0, step, len(table32), radius32, table32)
