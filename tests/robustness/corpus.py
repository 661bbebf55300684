"""Sound JPEGs of every kind that the kernel meets, made here, small enough to damage by the thousand."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tests.loaders.native.kinds import frame, resized

if TYPE_CHECKING:
    from loaders import native

KINDS = ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey", "rgb", "restarts", "rows", "progressive", "cmyk")
"""Sub-samplings and other kinds; "restarts": markers that do not divide a row; "rows": one a row."""


def picture(width: int, height: int, key: int) -> NDArray[np.uint8]:
    """Ramps, edges and noise, [height, width, 3]: something for every coefficient."""
    rng = np.random.Generator(np.random.Philox(key=[77, key]))
    y, x = np.mgrid[:height, :width]
    waves = [127 + 80 * np.sin(x * rng.uniform(0.02, 0.4) + y * rng.uniform(0.02, 0.4)) for _ in range(3)]
    canvas = np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 1))
    canvas[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def make(kind: str, width: int, height: int, key: int = 0) -> bytes:
    """A JPEG of one of KINDS."""
    if kind == "4:4:0":
        return _declared("4:2:2", (2, 1), (1, 2), width, height, key)
    if kind == "4:1:1":
        return _declared("4:2:0", (2, 2), (4, 1), width, height, key)
    options: dict[str, object] = {"subsampling": kind if kind.startswith("4") else "4:2:0"}
    if kind == "restarts":
        options["restart_marker_blocks"] = 5
    elif kind == "rows":
        options["restart_marker_rows"] = 1
    elif kind == "progressive":
        options["progressive"] = True
    elif kind == "rgb":
        options = {"keep_rgb": True, "subsampling": "4:4:4"}
    return _saved(picture(width, height, key), {"grey": "L", "cmyk": "CMYK"}.get(kind, "RGB"), options)


def corpus(key: int = 0) -> list[bytes]:
    """Every kind in an even and in an odd size."""
    return [make(kind, *size, key=key) for kind in KINDS for size in ((128, 96), (75, 53))]


def pyramid_records(key: int = 0) -> list[tuple[bytes, int, int, int]]:
    """Records as a pyramid holds them: (row table and JPEG, rows, width, height)."""
    from loaders import native

    records = [
        record
        for kind in KINDS
        if kind != "cmyk"
        for record in native.transcode(make(kind, 160, 120, key), (1.0, 0.5), 90)
    ]
    return [(r.table + r.jpeg, r.rows, r.width, r.height) for r in [*records, *_large()]]


def _large() -> list[native.Record]:
    """One of which only a part is read."""
    from loaders import native

    return native.transcode(make("4:2:0", 640, 480), (1.0,), 90)


def top_heavy(side: int) -> tuple[bytes, int]:
    """A grey JPEG whose first MCU row holds most bytes, a marker behind every MCU; and how many rows it has."""
    rng = np.random.Generator(np.random.Philox(key=[77, 1 << 32]))
    pixels = np.full((side, side, 3), 128, np.uint8)
    pixels[:8] = rng.integers(0, 256, (8, side, 3))
    return _saved(pixels, "L", {"restart_marker_blocks": 1}), side // 8


def row_check(data: bytes) -> int:
    """The check of loaders/native/jpeg/row_check_loop.h, written a second time."""
    odd, whole = 0x9E3779B185EBCA87, (1 << 64) - 1
    size = len(data)
    chain = [size, size ^ odd, size + odd & whole, size - odd & whole]
    words = np.frombuffer(data + bytes(32 - size % 32), "<u8").tolist()
    for at, word in enumerate(words):
        mixed = (chain[at % 4] ^ word) * odd & whole
        chain[at % 4] = (mixed << 29 | mixed >> 35) & whole
    total = 0
    for value in chain:
        total = (total ^ value ^ value >> 32) * odd & whole
        total ^= total >> 29
    return total >> 32


def forged(offsets: NDArray[np.uint32], jpeg: bytes) -> bytes:
    """A record of these row offsets and this JPEG whose checks are right, as one who means harm would make it."""
    count, size = len(offsets), len(jpeg)
    ends = [int(k) for k in (*offsets[1:], size)]
    head = min(int(offsets[0]), size)
    checks = [row_check(offsets.astype("<u4").tobytes() + jpeg[:head])]
    checks += [row_check(jpeg[int(begin) : max(int(begin), end)]) for begin, end in zip(offsets, ends, strict=True)]
    return np.array(checks, "<u4").tobytes() + offsets.astype("<u4").tobytes() + jpeg if count else jpeg


def _declared(sampling: str, has: tuple[int, int], wanted: tuple[int, int], width: int, height: int, key: int) -> bytes:
    """A sampling that Pillow does not write: one with as many blocks an MCU, whose frame header then says otherwise."""
    across, down = -(-width // (8 * wanted[0])), -(-height // (8 * wanted[1]))
    pixels = picture(across * 8 * has[0], down * 8 * has[1], key)
    data = bytearray(resized(_saved(pixels, "RGB", {"subsampling": sampling}), width, height))
    data[frame(data) + 11] = wanted[0] << 4 | wanted[1]
    return bytes(data)


def _saved(pixels: NDArray[np.uint8], mode: str, options: dict[str, object]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=90, **options)
    return file.getvalue()
