"""Small JPEGs of every kind that the kernel meets, made from scratch."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = [(1, 1), (17, 9), (61, 47), (128, 96), (203, 149)]
KINDS = ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey", "rgb", "restarts", "progressive", "scans"]


def pixels(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Height x width x 3: waves, an edge and noise, so that every coefficient and every colour occurs."""
    y, x = np.mgrid[:height, :width]
    phase = seed + np.arange(3)
    image = 128 + 70 * np.sin(x[..., None] / (9 + 4 * phase) + phase) * np.cos(y[..., None] / (13 - 3 * (phase % 3)))
    image[(x + 2 * y) % 90 < 30] += (40, -30, 20)
    image += np.random.Generator(np.random.Philox(seed)).normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def save(image: NDArray[np.uint8], **options: object) -> bytes:
    """The pixels as Pillow writes them."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


def make(kind: str, width: int, height: int, seed: int = 0) -> bytes:
    """A JPEG of one of KINDS."""
    image = pixels(width, height, seed)
    if kind in ("4:4:4", "4:2:2", "4:2:0"):
        return save(image, subsampling=kind)
    if kind == "4:4:0":
        return _reread(image, "4:2:2", 1, 2)
    if kind == "4:1:1":
        return _reread(image, "4:2:0", 4, 1)
    if kind == "grey":
        return save(image[..., 0])
    if kind == "rgb":
        return save(image, keep_rgb=True)
    if kind == "restarts":
        return save(image, subsampling="4:2:0", restart_marker_blocks=5)
    if kind == "progressive":
        return save(image, subsampling="4:2:0", progressive=True)
    assert kind == "scans"
    return scans(image[..., 0], 3)


def frame(jpeg: bytes) -> int:
    """Where the frame header stands: height at +5, width at +7, number of components at +9, then three bytes for each."""
    return max(jpeg.find(b"\xff\xc0\x00"), jpeg.find(b"\xff\xc2\x00"))


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    """The same bytes with other sides in the frame header."""
    at = frame(jpeg)
    return jpeg[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 9 :]


def _reread(image: NDArray[np.uint8], sampling: str, h: int, v: int) -> bytes:
    """A sampling that Pillow does not write: MCUs of another with as many blocks, declared to lie differently."""
    height, width = image.shape[:2]
    across, down = -(-width // (8 * h)), -(-height // (8 * v))  # MCUs as they are to be
    source = {"4:2:2": (2, 1), "4:2:0": (2, 2)}[sampling]
    padded = np.resize(image, (down * 8 * source[1], across * 8 * source[0], 3))
    jpeg = resized(save(padded, subsampling=sampling), width, height)
    at = frame(jpeg) + 11
    return jpeg[:at] + bytes([h << 4 | v]) + jpeg[at + 1 :]


def scans(grey: NDArray[np.uint8], count: int) -> bytes:
    """A baseline JPEG of three components with the same content, each in a scan of its own; more scans repeat them."""
    jpeg = save(grey)
    at, sos = frame(jpeg), jpeg.index(b"\xff\xda")
    components = b"".join(bytes([c, 0x11, 0]) for c in (1, 2, 3))
    header = b"\xff\xc0\x00\x11" + jpeg[at + 4 : at + 9] + b"\x03" + components
    scan = jpeg[sos + 10 : -2]
    each = [b"\xff\xda\x00\x08\x01" + bytes([i % 3 + 1, 0, 0, 63, 0]) + scan for i in range(count)]
    return jpeg[:at] + header + jpeg[at + 13 : sos] + b"".join(each) + b"\xff\xd9"
