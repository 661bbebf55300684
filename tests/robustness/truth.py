"""What libjpeg says of a JPEG, through Pillow: the judge of pixels that the kernel delivers.

Pillow lets libjpeg's warnings pass, so this is libjpeg at its most lenient. Comparison is in Y, Cb, Cr before anything
is clipped to RGB, since damaged coefficients leave the gamut and clipping does not commute with resampling.
"""

from __future__ import annotations

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders import native
from loaders.plan.filters import Filter

TOLERANCE = 8
"""Of 255, between the kernel's pixels and those made from libjpeg's: each rounds several times in its own order."""
EDGE = 8  # values so near to 0 or 255 may have been clipped, and are not compared
NARROW = 4  # pixels: libjpeg repeats chroma of images so narrow, where the kernel interpolates it
LUMA = np.array([[[0.299]], [[0.587]], [[0.114]]])


def opened(data: bytes, colours: str, scale: int = 1) -> NDArray[np.uint8] | None:
    """The pixels [height, width, 3] by Pillow's libjpeg; None where it refuses. colours: "RGB" or "YCbCr"."""
    from PIL import Image, ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # rows that were decoded count, whatever comes behind them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
                size = (max(1, image.width // scale), max(1, image.height // scale)) if scale > 1 else None
                image.draft("L" if image.mode == "L" else colours, size)
                if image.mode not in (colours, "L"):
                    return None
                pixels = np.asarray(image)
    except Exception:  # Pillow raises nearly anything on damaged files
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
    if pixels.ndim == 3:
        return pixels
    neutral = 128 if colours == "YCbCr" else pixels
    return np.stack(np.broadcast_arrays(pixels, neutral, neutral), axis=2).astype(np.uint8)


def opened_without_simd(data: bytes, colours: str, scale: int) -> NDArray[np.uint8] | None:
    """The same by libjpeg-turbo's C code, which a new thread takes where this variable is set."""
    os.environ["JSIMD_FORCENONE"] = "1"
    try:
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(opened, data, colours, scale).result()
    finally:
        del os.environ["JSIMD_FORCENONE"]


def differs(made: NDArray[np.uint8], data: bytes, sample: NDArray[np.void], side: int, filter: Filter) -> str:
    """ "" where the kernel's output [3, B, B] is what libjpeg's pixels give, or else what it is instead.

    Coefficients far beyond what pixels can have overflow in libjpeg, too: where its SIMD and its C code give different
    pixels, there is nothing that libjpeg says.
    """
    sample = _at_its_scale(data, sample)
    scale = int(sample["scale"])
    info = native.peek(data)
    colours = "YCbCr" if info.kernel else "RGB"  # else libjpeg made RGB of it before it was resampled
    pixels = opened(data, colours, scale)
    if pixels is None:  # libjpeg turns no RGB file into YCbCr
        colours, pixels = "RGB", opened(data, "RGB", scale)
    if pixels is None:
        return "pixels of a file that libjpeg refuses"
    if pixels.shape[:2] != (-(-info.height // scale), -(-info.width // scale)):
        return ""  # so narrow that Pillow scales it otherwise
    if pixels.shape[1] <= NARROW or pixels.shape[0] <= NARROW:
        return ""
    wanted, inside = _wanted(pixels, colours, sample, side, filter)
    wrong = _apart(made, wanted, inside, scale)
    if wrong and not info.kernel and (planes := opened(data, "YCbCr", scale)) is not None:
        # A progressive JPEG that the kernel decodes, as it does unless something is unusual.
        colours = "YCbCr"
        wanted, inside = _wanted(planes, colours, sample, side, filter)
        wrong = _apart(made, wanted, inside, scale)
    if wrong:
        other = opened_without_simd(data, colours, scale)
        if other is not None and _apart(_wanted(other, colours, sample, side, filter)[0], wanted, inside, scale):
            return ""
    return wrong


def _at_its_scale(data: bytes, sample: NDArray[np.void]) -> NDArray[np.void]:
    """The sample with the scale that the kernel takes: half of it where chroma has less than half of luma's samples."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            factors = np.array([layer[1:3] for layer in image.layer])  # type: ignore[attr-defined]
    except Exception:  # see `opened`
        return sample
    taken = sample.copy()
    if sample["scale"] > 1 and (factors.max(0) > 2 * factors).any():
        taken["scale"] = sample["scale"] // 2
    return taken


def _wanted(
    pixels: NDArray[np.uint8], colours: str, sample: NDArray[np.void], side: int, filter: Filter
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """RGB [3, B, B] made of libjpeg's pixels, and where nothing was clipped."""
    planes = _resampled(pixels, sample, side, filter).astype(np.float64)
    wanted = planes
    if colours == "YCbCr":
        y, cb, cr = planes[0], planes[1] - 128, planes[2] - 128
        wanted = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb])
    inside = np.logical_and.reduce([(p > EDGE) & (p < 255 - EDGE) for p in (*planes, *wanted)])
    return wanted, inside


def _apart(made: NDArray[Any], wanted: NDArray[np.float64], inside: NDArray[np.bool_], scale: int) -> str:
    off = made.astype(np.float64) - wanted
    if scale == 8:  # at blocks of one sample libjpeg repeats chroma where the kernel interpolates it
        off = (off * LUMA).sum(axis=0, keepdims=True)
    off = np.abs(off)[:, inside]
    if not off.size or off.max() <= TOLERANCE:
        return ""
    return f"pixels off by up to {off.max():.0f}, {(off > TOLERANCE).mean():.1%} of them by more than {TOLERANCE}"


def _resampled(pixels: NDArray[np.uint8], sample: NDArray[np.void], side: int, filter: Filter) -> NDArray[np.uint8]:
    scaled = sample.copy()
    scaled["box"] = sample["box"] / sample["scale"]
    return native.resample(pixels, scaled, side=side, filter=filter)
