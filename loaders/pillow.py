"""Image files that the kernel does not decode (PNG, WebP, CMYK, ...), read by Pillow as torchvision does.

Image folders and the converter share this module. Many threads may use it at once. It does not change Pillow's
settings, because other code in the process may depend on them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from types import FunctionType, ModuleType, SimpleNamespace
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import LoaderError

DEPTHS = ("refuse", "scale", "minmax")
"""Treatments of images of more than 8 bits a sample, see `decode_rgb`."""

_FLAG = "LOAD_TRUNCATED_IMAGES"
_DEEP = ("I", "F")  # first letters of the modes whose values Pillow would clip at 255: I;16, I;16B, I, F


class Decoded(NamedTuple):
    """An image that Pillow decoded.

    Attributes:
        pixels: RGB, uint8 [height, width, 3].
        kind: the file's original kind, for example "PNG of mode RGBA".
        exact: no grey values were scaled to 8 bits.
    """

    pixels: NDArray[np.uint8]
    kind: str
    exact: bool = True


def decode_rgb(data: bytes, depth: str = "refuse") -> Decoded:
    """Decodes an image file by Pillow's `convert("RGB")`; EXIF orientation is ignored, as torchvision ignores it.

    A truncated file is an error, even if the process sets `ImageFile.LOAD_TRUNCATED_IMAGES`.

    Args:
        data: the whole file.
        depth: treatment of grey images of 16 or 32 bits or floating-point values, which `convert("RGB")` would clip
            to white. "refuse"; "scale": the full range of the type (0 to 65,535; 0 to 1) becomes 0 to 255; "minmax":
            the image's own least and greatest values become 0 and 255.

    Raises:
        LoaderError: Pillow cannot decode the file (whatever error Pillow raised), or `depth` does not allow it.
        ValueError: an unknown `depth`.
    """
    if depth not in DEPTHS:
        raise ValueError(f"`depth` must be one of {', '.join(DEPTHS)}, got {depth!r}.")
    unidentified = _plugins()
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.__class__ = _strict_class(type(image))
            kind = f"{image.format} of mode {image.mode}{_left_out(image)}"
            if image.mode.startswith(_DEEP):
                grey, how = _to_8_bits(image, depth)
                return Decoded(np.repeat(grey[:, :, None], 3, axis=2), f"{kind}, {how}", exact=False)
            return Decoded(rgb(image), kind)
    except LoaderError:
        raise
    except Exception as error:  # Pillow raises nearly anything on damaged files
        reason = _unknown(data) if isinstance(error, unidentified) else str(error)
        if isinstance(error, Image.DecompressionBombError):
            reason = f"{reason} Set PIL.Image.MAX_IMAGE_PIXELS to half the pixels of the largest image, or None."
        raise LoaderError(" ".join(reason.split()) or type(error).__name__) from None


def rgb(image: Any) -> NDArray[np.uint8]:
    """Pixels [height, width, 3] of a PIL image, by Pillow's `convert("RGB")`.

    Raises:
        LoaderError: it has more than 8 bits a sample.
    """
    if image.mode.startswith(_DEEP):
        raise LoaderError(
            f"a PIL image must have 8 bits a sample, got mode {image.mode}, which would be clipped to white; scale its "
            "values to 0 to 255 first, or give its file for convert's `depth`"
        )
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image.load()
        image = image.convert("RGBA")  # the direct way warns
    return np.asarray(image.convert("RGB"))


def _left_out(image: Any) -> str:
    """The parts of an opened file that its RGB pixels do not contain: the lower bits of deep colours, further pages."""
    cut = image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in image.tile)
    pages = 1
    if image.format == "TIFF":
        with suppress(Exception):  # a damaged page after the first
            pages = image.n_frames
    return (", 16 bits cut to 8" if cut else "") + (f", the first of {pages} pages" if pages > 1 else "")


def _unknown(data: bytes) -> str:
    """The reason why Pillow does not know a file, with the name of its format if that is common."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    named = {
        "HEIC": brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"),
        "AVIF": brand in (b"avif", b"avis"),
        "JPEG XL": data.startswith(b"\xff\x0a") or data[4:12] == b"JXL \r\n\x87\n",
        "SVG": b"<svg" in data[:1024],
        "PDF": data.startswith(b"%PDF"),
    }
    for name, found in named.items():
        if found:
            return (
                f"{name}, which this Pillow cannot read: convert it to JPEG or PNG, or register a plug-in with Pillow"
            )
    return "no image format that Pillow knows"


def decode_stored(data: bytes) -> NDArray[Any]:
    """Pixels of an image file as they are stored: [height, width], or [height, width, channels]; a palette's indices.

    Raises:
        LoaderError: Pillow cannot decode the file, or it is cut short.
    """
    _plugins()
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.__class__ = _strict_class(type(image))
            return np.asarray(image)
    except Exception as error:  # Pillow raises nearly anything on damaged files
        raise LoaderError(" ".join(str(error).split()) or type(error).__name__) from None


class Header(NamedTuple):
    """What an image file's headers say.

    Attributes:
        kind: format and mode as Pillow names them, for example "PNG RGBA".
        width, height: pixels.
    """

    kind: str
    width: int
    height: int


def header(data: IO[bytes]) -> Header:
    """The headers of an open file.

    Raises:
        LoaderError: Pillow does not know the format.
    """
    _plugins()
    from PIL import Image

    try:
        with Image.open(data) as image:
            return Header(f"{image.format} {image.mode}", image.width, image.height)
    except Exception as error:  # Pillow raises nearly anything on damaged files
        raise LoaderError(str(error)) from None


def _to_8_bits(image: Any, depth: str) -> tuple[NDArray[np.uint8], str]:
    """The grey values as uint8 [height, width], and how they were made. See `decode_rgb` for `depth`."""
    if depth == "refuse":
        raise LoaderError(
            f"{image.format} of mode {image.mode}: more than 8 bits a sample would be clipped to white; "
            'convert the images with depth="scale" or "minmax" (--depth) to say how they become 8 bits'
        )
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(values).all():
        raise LoaderError(f"{image.format} of mode {image.mode}: holds values that are not finite numbers")
    if depth == "scale":
        ends = 0.0, 1.0 if image.mode.startswith("F") else 65535.0
        if low < ends[0] or high > ends[1]:
            raise LoaderError(
                f'{image.format} of mode {image.mode}: depth="scale" takes values from 0 to {ends[1]:g}, '
                f'these go from {low:g} to {high:g}; use depth="minmax"'
            )
        how = "scaled from the full range"
    else:
        ends, how = (low, high if high > low else low + 1), f"scaled from {low:g} to {high:g}"
    return np.rint((values - ends[0]) * (255 / (ends[1] - ends[0]))).astype(np.uint8), how


@lru_cache(maxsize=1)
def _plugins() -> type[Exception]:
    """Loads all of Pillow's formats. Threads that load them at once could find a format unknown.

    Returns:
        Pillow's error if no format fits.
    """
    from PIL import Image

    Image.init()
    return Image.UnidentifiedImageError


# Note [strict without a global]: `LOAD_TRUNCATED_IMAGES = True`, which many programs set, lets Pillow fill the missing
# part of a file with grey. The flag is a global of the process: setting it here for a moment would reach other threads,
# and their settings would reach this one. Instead an opened image gets a class whose methods are Pillow's own code with
# a copy of the globals in which the flag is off.
def _strict(function: FunctionType) -> FunctionType:
    """The same code with the flag off."""
    names = dict(function.__globals__)
    if _FLAG in names:
        names[_FLAG] = False
    for name, value in names.items():
        if isinstance(value, ModuleType) and hasattr(value, _FLAG):
            names[name] = SimpleNamespace(**{**vars(value), _FLAG: False})
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _strict_methods(kind: type, seen: set[str]) -> dict[str, Callable[..., Any]]:
    """Strict copies of the methods of `kind` itself that read the flag, except those in `seen`; adds them to `seen`."""
    methods = {name: value for name, value in vars(kind).items() if name not in seen}
    seen |= methods.keys()
    looks = {n: f for n, f in methods.items() if isinstance(f, FunctionType) and _FLAG in f.__code__.co_names}
    return {name: _strict(function) for name, function in looks.items()}


@cache
def _strict_base() -> type:
    """Precedes Pillow's `ImageFile` in a class's method resolution order."""
    from PIL.ImageFile import ImageFile

    return type("StrictImageFile", (ImageFile,), _strict_methods(ImageFile, set()))


@cache
def _strict_class(kind: type) -> type:
    """A subclass of one of Pillow's image classes that reads strictly."""
    from PIL.ImageFile import ImageFile

    methods: dict[str, Callable[..., Any]] = {}
    seen: set[str] = set()
    for base in kind.__mro__[: kind.__mro__.index(ImageFile)]:
        methods |= _strict_methods(base, seen)
    return type(kind.__name__, (kind, _strict_base()), methods)
