"""The insides of the kernel that tests check one by one: planes, coefficients, the builds of its inner loops.

The kernel's ABI has none of them. `inner.cpp` beside this file is compiled when a test first needs it, and linked with
the kernel that the tests use (`ETL_KERNEL`, too).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from loaders.native import DAMAGED, UNSUPPORTED, JpegError, peek
from loaders.native.kernel import builds
from loaders.native.kernel import library as kernel_library

Region = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""

ROOT = Path(__file__).resolve().parents[3]
_SOURCE = Path(__file__).with_name("inner.cpp")
_I32, _SIZE, _PTR, _BYTES = ctypes.c_int32, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """inner.cpp, compiled. Skips the test without a C++ compiler, or if the kernel is a wheel's, which hides it all."""
    kernel = kernel_library()
    if not hasattr(kernel, "_ZN2et6chosenE"):
        pytest.skip("the kernel exports only its ABI, as in a wheel")
    place, linked = ROOT / "build" / "inner", Path(kernel._name).resolve()
    native = ROOT / "loaders" / "native"
    digest = hashlib.sha256(f"{linked} {linked.stat().st_mtime_ns}".encode() + _SOURCE.read_bytes())
    for header in sorted(native.rglob("*.h")):
        digest.update(header.read_bytes())
    built = place / f"{digest.hexdigest()[:16]}.so"
    if not built.exists():
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob("*.so"):
            old.unlink(missing_ok=True)
        new = place / f"{os.getpid()}.new"  # several processes may build it at once
        command = [os.environ.get("CXX", "g++"), "-std=c++17", "-O1", "-shared", "-fPIC", f"-I{native}"]
        try:
            subprocess.run([*command, str(_SOURCE), str(linked), "-ljpeg", "-o", str(new)], check=True)
        except FileNotFoundError:
            pytest.skip("needs a C++ compiler (g++, or CXX)")
        new.replace(built)
    inner = ctypes.CDLL(str(built))
    inner.inner_use_build.argtypes = (_BYTES,)
    inner.inner_row_check.argtypes, inner.inner_row_check.restype = (_BYTES, _SIZE), ctypes.c_uint32
    inner.inner_copy_to_marker.argtypes = (_BYTES, _SIZE, _PTR, _PTR, _PTR)
    inner.inner_coefficients.argtypes, inner.inner_coefficients.restype = (_BYTES, _SIZE, _PTR, _PTR), None
    for function in (inner.inner_planes, inner.inner_libjpeg):
        function.argtypes = (_BYTES, _SIZE, _PTR, _I32, _PTR, _SIZE, _PTR)
    return inner


def use_build(name: str) -> None:
    """Runs this one of `loaders.native.kernel.builds()` from now on, in the whole process."""
    assert name in builds()
    if name != builds()[0] or library.cache_info().currsize:  # else it is in use already
        assert library().inner_use_build(name.encode())


def copy_to_marker(data: bytes) -> tuple[bytes, int, int]:
    """The bytes before the first marker, without stuffing; its code, 0 if there is none; the offset behind it."""
    out, sizes = np.empty(len(data) + 63, np.uint8), np.zeros(2, np.uint64)
    code = library().inner_copy_to_marker(data, len(data), out.ctypes.data, sizes.ctypes.data, sizes[1:].ctypes.data)
    return out[: int(sizes[0])].tobytes(), int(code), int(sizes[1])


def row_check(data: bytes) -> int:
    """The 32-bit check of loaders/native/jpeg/row_check.h."""
    return int(library().inner_row_check(data, len(data)))


def planes(data: bytes, region: Region, scale: int = 1) -> tuple[int, str, NDArray[np.uint8]]:
    """What the kernel's decoder makes of a region of the scaled image.

    Returns:
        Status, message, and the planes one after the other; samples outside the MCUs of the region are 0.
    """
    out, message = np.zeros(1 << 20, np.uint8), ctypes.create_string_buffer(96)
    corners = (ctypes.c_int32 * 4)(*region)
    status = library().inner_planes(data, len(data), corners, scale, out.ctypes.data, out.nbytes, message)
    return status, message.value.decode(), out


def decode_region(data: bytes, region: Region, scale: int = 1) -> NDArray[np.uint8]:
    """The pixels of a region of the scaled image as the kernel gets them from libjpeg, [rows, columns, 3]."""
    x0, y0, x1, y1 = region
    out, message = np.empty((y1 - y0, x1 - x0, 3), np.uint8), ctypes.create_string_buffer(96)
    corners = (ctypes.c_int32 * 4)(*region)
    status = library().inner_libjpeg(data, len(data), corners, scale, out.ctypes.data, out.nbytes, message)
    if status:
        assert status in (DAMAGED, UNSUPPORTED)
        raise JpegError(status, message.value.decode())
    return out


def coefficients(data: bytes) -> list[NDArray[np.int16]]:
    """Quantised DCT coefficients of a sound JPEG, [block rows, block columns, 64] for each component.

    Blocks that only fill up an MCU at the image's edge are left out.
    """
    info = peek(data)
    most = info.components * -(-info.width // 8) * -(-info.height // 8) * 64
    shapes, out = np.zeros((info.components, 2), np.int32), np.empty(most, np.int16)
    library().inner_coefficients(data, len(data), shapes.ctypes.data, out.ctypes.data)
    ends = np.cumsum([rows * columns * 64 for rows, columns in shapes])
    return [part.reshape(*shape, 64) for part, shape in zip(np.split(out[: ends[-1]], ends[:-1]), shapes, strict=True)]
