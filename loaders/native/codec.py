"""The kernel's functions for whole JPEGs: reading headers, conversion for storage, cutting, encoding, decoding.

All functions are pure, release the GIL while they work, and do not print.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LoaderError
from ..plan.filters import Filter
from .kernel import library
from .pool import BAD_ARGUMENT, OK, UNSUPPORTED, filter_struct
from .structs import EtInfo, EtRecord

_SCALES = (1, 2, 4, 8)
_SAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}
_MOST_PIXELS = 1 << 28  # as in libjpeg.h
_LOBES = 6  # of the Lanczos kernel that makes reduced levels: sharp, so that a level can be used down to its last pixel


class JpegError(LoaderError):
    """A JPEG cannot be used.

    Attributes:
        status: DAMAGED, or UNSUPPORTED (sound, but the kernel does not decode it: CMYK, 12 bit, not a JPEG), or
            IO_ERROR if memory is exhausted.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[JpegError], tuple[int, str]]:
        return JpegError, (self.status, str(self))


class JpegInfo(NamedTuple):
    """Contents of the headers."""

    width: int
    height: int
    components: int  # 1 or 3
    sampling: str  # "4:2:0", "4:2:2", "4:4:4", "4:4:0", "4:1:1", "grey" or "other"
    restart_interval: int  # MCUs from one restart marker to the next; 0: none
    progressive: bool
    kernel: bool  # the kernel's own decoder reads it; else libjpeg does


class Record(NamedTuple):
    """One stored level of one image."""

    jpeg: bytes
    table: bytes  # precedes it on disk: for each MCU row a check and its offset, see jpeg/row_check.h
    rows: int  # MCU rows
    width: int
    height: int
    head: int  # bytes up to the first entropy-coded one
    note: str  # an oddity of the source that was accepted, or ""


_I32, _SIZE, _PTR, _BYTES = ctypes.c_int32, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
_ARGUMENTS = {
    "et_peek": (_BYTES, _SIZE, _PTR, _PTR),
    "et_transcode": (_BYTES, _SIZE, _PTR, _PTR, _I32, _I32, _PTR, _PTR, _PTR, _PTR, _PTR),
    "et_encode": (_PTR, _I32, _I32, _I32, _PTR, _PTR, _PTR),
    "et_decode": (_BYTES, _SIZE, _I32, _PTR, _SIZE, _PTR),
    "et_cut": (_BYTES, _SIZE, _PTR, _PTR, _SIZE, _PTR, _PTR, _PTR),
}


@lru_cache(maxsize=1)
def _codec() -> ctypes.CDLL:
    """The kernel with the functions of codec.h declared."""
    kernel = library()
    for name, arguments in _ARGUMENTS.items():
        getattr(kernel, name).argtypes = arguments
        getattr(kernel, name).restype = _I32
    kernel.et_free.argtypes, kernel.et_free.restype = (_PTR,), None
    return kernel


def _call(name: str, *arguments: Any) -> None:
    """Calls `name` with a message buffer after `arguments` and raises the reported error."""
    message = ctypes.create_string_buffer(96)
    status = getattr(_codec(), name)(*arguments, message)
    if status == OK:
        return
    text = message.value.decode("utf-8", "replace")
    raise ValueError(text) if status == BAD_ARGUMENT else JpegError(status, text)


@lru_cache(maxsize=1)
def _reduction() -> Filter:
    """The filter of reduced levels: Lanczos over output pixels, as sharp as possible without aliasing."""
    steps = 64
    x = np.arange(_LOBES * steps + 2) / steps
    table = np.where(x < _LOBES, np.sinc(x) * np.sinc(x / _LOBES), 0.0).astype(np.float32)
    radius = np.array([_LOBES], np.float32)
    return Filter(base=0, steps=steps, stretch0=1.0, stretch_step=1.0, rows=1, radius=radius, table=table[None])


def peek(data: bytes) -> JpegInfo:
    """The contents of a JPEG's headers; the image itself is not read.

    Raises:
        JpegError: not a JPEG, an unsupported kind of JPEG, or truncated headers.
    """
    info = EtInfo()
    _call("et_peek", data, len(data), ctypes.byref(info))
    sampling = _SAMPLINGS.get((info.h[0], info.v[0]), "other")
    if info.components == 1:
        sampling = "grey"
    elif any(info.h[c] != 1 or info.v[c] != 1 for c in (1, 2)):
        sampling = "other"
    return JpegInfo(
        info.width,
        info.height,
        info.components,
        sampling,
        info.restart,
        bool(info.progressive),
        bool(info.own),
    )


def transcode(data: bytes, ratios: Sequence[float], quality: int | Sequence[int], segment: int = 2) -> list[Record]:
    """Makes the stored levels of a JPEG.

    Record 0 keeps every quantised DCT coefficient: the file becomes baseline with restart markers and the best Huffman
    tables, and loses all metadata except that of its colours (EXIF's orientation is ignored on purpose, as torchvision
    does). The other records are Lanczos reductions, 4:4:4. In each record, the distance of the markers divides the
    length of the MCU row.

    Args:
        data: baseline, progressive or arithmetic-coded JPEG; grey, YCbCr or RGB; any sub-sampling.
        ratios: size of each level relative to the first, (1.0, 0.5, ...). A reduced level's width is changed by a few
            pixels, so that the length of its MCU row has a divisor near `segment`; its aspect ratio is kept.
        quality: of reduced levels, 1 to 100, libjpeg's scale; or that of each level, of which the first is not used.
        segment: wanted distance of restart markers, MCUs. Nearest divisor of the row up to 8 whose markers take at most
            6 % of the bytes, else one marker a row.

    Raises:
        JpegError: damaged (also if libjpeg would merely warn) or unsupported.
        ValueError: wrong `ratios`, `quality` or `segment`.
    """
    n = len(ratios)
    records, block = (EtRecord * n)(), ctypes.c_void_p()
    note = ctypes.create_string_buffer(96)
    qualities = [quality] * n if isinstance(quality, int) else quality
    wanted, table = (ctypes.c_double * n)(*ratios), filter_struct(_reduction(), base=0)
    pointers = (ctypes.byref(table), ctypes.byref(block), records, note)
    _call("et_transcode", data, len(data), wanted, (ctypes.c_int32 * n)(*qualities), n, segment, *pointers)
    try:
        return [_unpack(block.value or 0, record, "" if i else note.value.decode()) for i, record in enumerate(records)]
    finally:
        _codec().et_free(block)


def _unpack(block: int, record: EtRecord, note: str) -> Record:
    jpeg = block + record.offset
    table = ctypes.string_at(jpeg - record.table, record.table)
    return Record(
        ctypes.string_at(jpeg, record.size), table, record.rows, record.width, record.height, record.head, note
    )


def encode(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """A baseline JPEG, 4:4:4, of height x width x 3 pixels. quality: 1 to 100, libjpeg's scale."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"`rgb` must be uint8 of shape (height, width, 3), got {rgb.dtype} {rgb.shape}.")
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be from 1 to 100, got {quality}.")
    rgb = np.ascontiguousarray(rgb)
    block, size = ctypes.c_void_p(), ctypes.c_size_t()
    height, width = rgb.shape[:2]
    _call("et_encode", rgb.ctypes.data, width, height, quality, ctypes.byref(block), ctypes.byref(size))
    try:
        return ctypes.string_at(block.value or 0, size.value)
    finally:
        _codec().et_free(block)


def _check_scale(scale: int) -> None:
    if scale not in _SCALES:
        raise ValueError(f"`scale` must be 1, 2, 4 or 8, got {scale}.")


def decode(data: bytes, scale: int = 1) -> NDArray[np.uint8]:
    """Height x width x 3 pixels by libjpeg: accurate integer DCT, fancy upsampling, grey repeated as RGB.

    Args:
        scale: DCT denominator 1, 2, 4 or 8; sides are rounded up.

    Raises:
        JpegError: damaged (also if libjpeg would merely warn) or unsupported.
    """
    _check_scale(scale)
    info = peek(data)
    if info.width * info.height > _MOST_PIXELS:
        raise JpegError(UNSUPPORTED, f"{info.width} x {info.height} pixels are too many")
    out = np.empty((-(-info.height // scale), -(-info.width // scale), 3), np.uint8)
    _call("et_decode", data, len(data), scale, out.ctypes.data, out.nbytes)
    return out


def cut(data: bytes, box: tuple[int, int, int, int]) -> tuple[bytes, int, int]:
    """A smaller JPEG that contains a box of a larger one, cut from its bytes without decoding pixels.

    Args:
        data: baseline JPEG whose restart interval divides its MCU row, as every level in a pyramid.
        box: x0, y0, x1, y1 in pixels.

    Returns:
        The sub-JPEG, and the position (x, y) of its first pixel in the whole image. It is somewhat larger than the box.
        Its pixels inside the box equal those of the whole image, including chroma up-sampling.

    Raises:
        JpegError: damaged, or cannot be cut (UNSUPPORTED).
        ValueError: the box is empty or not inside the image.
    """
    out = np.empty(len(data), np.uint8)
    length, origin = ctypes.c_size_t(), (ctypes.c_int32 * 2)()
    pointers = (out.ctypes.data, len(data), ctypes.byref(length), origin)
    _call("et_cut", data, len(data), (ctypes.c_int32 * 4)(*box), *pointers)
    return out[: length.value].tobytes(), origin[0], origin[1]
