"""Images that tests make for themselves."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools import synth

SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "grey")
"""Chroma sub-samplings that the kernel's own decoder reads."""


def picture(width: int, height: int, key: int = 1) -> NDArray[np.uint8]:
    """A natural-looking picture, [height, width, 3]."""
    rng = np.random.Generator(np.random.Philox(key=[9, key]))
    canvas = np.clip(synth.background(rng, width, height), 0, 1) * 255
    return np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))


def jpeg(pixels: NDArray[np.uint8], sampling: str, restart: int = 0, **options: object) -> bytes:
    """The picture as a JPEG; restart: MCUs between restart markers, 0: none."""
    _height, _width = pixels.shape[:2]
    if sampling == "4:4:0":
        return _turned(pixels, restart, **options)
    image = Image.fromarray(pixels)
    if sampling == "grey":
        image = image.convert("L")
    else:
        options["subsampling"] = sampling
    if restart:
        options["restart_marker_blocks"] = restart
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 92, **options})
    return file.getvalue()


def _turned(pixels: NDArray[np.uint8], restart: int, **options: object) -> bytes:
    """4:4:0, which Pillow does not write: a 4:2:2 file whose MCUs hold the upper block on the left and the lower on the
    right, with its frame header patched. Chroma is that of blocks side by side, so colours come out only roughly."""
    height, width = pixels.shape[:2]
    down, across = -(-height // 16), -(-width // 8)
    padded = np.pad(pixels, ((0, down * 16 - height), (0, across * 8 - width), (0, 0)), mode="edge")
    blocks = padded.reshape(down, 2, 8, across, 8, 3).transpose(0, 2, 3, 1, 4, 5)
    data = bytearray(jpeg(np.ascontiguousarray(blocks.reshape(down * 8, across * 16, 3)), "4:2:2", restart, **options))
    frame = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    data[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    data[frame + 11] = 0x12
    return bytes(data)
