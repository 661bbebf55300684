"""A baseline JPEG written here, from drawn coefficients: the same bytes whatever libjpeg is installed.

Huffman codes are all of one length (4 bits DC, 7 bits AC), which the format allows and makes a coder of ten lines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AC = [0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 5))]  # EOB, ZRL, run and size


def plain_jpeg(width: int, height: int, key: int, sampling: tuple[int, int] = (2, 2)) -> bytes:
    """Three components, luma `sampling` times chroma's resolution; a picture of soft patches."""
    rng = np.random.Generator(np.random.Philox(key=[41, key]))
    across, down = -(-width // (8 * sampling[0])), -(-height // (8 * sampling[1]))
    bits, before = [], [0, 0, 0]
    for _ in range(across * down):
        for component, count in enumerate((sampling[0] * sampling[1], 1, 1)):
            for _ in range(count):
                level = int(np.clip(before[component] + rng.integers(-9, 10), -60, 60))
                bits += _block(level - before[component], _ac(rng))
                before[component] = level
    steps = bytes(4 + k // 4 for k in range(64))
    body = _segment(0xDB, b"\0" + steps)
    parts = b"".join(bytes([c + 1, (sampling[0] << 4 | sampling[1]) if c == 0 else 0x11, 0]) for c in range(3))
    body += _segment(0xC0, b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x03" + parts)
    body += _segment(0xC4, b"\x00" + _counts(4, 12) + bytes(range(12)))
    body += _segment(0xC4, b"\x10" + _counts(7, len(AC)) + bytes(AC))
    body += _segment(0xDA, b"\x03" + b"".join(bytes([c + 1, 0]) for c in range(3)) + b"\x00\x3f\x00")
    bits += [1] * (-len(bits) % 8)
    scan = np.packbits(np.array(bits, np.uint8)).tobytes().replace(b"\xff", b"\xff\x00")
    return b"\xff\xd8" + body + scan + b"\xff\xd9"


def _ac(rng: np.random.Generator) -> NDArray[np.int64]:
    values = np.zeros(63, np.int64)
    places = rng.integers(0, 10, 4)
    values[places] = rng.integers(-15, 16, 4)
    return values


def _block(difference: int, ac: NDArray[np.int64]) -> list[int]:
    out = _number(abs(difference).bit_length(), 4) + _value(difference)
    last = 0
    for place in np.flatnonzero(ac).tolist():
        value = int(ac[place])
        out += _number(AC.index((place - last) << 4 | abs(value).bit_length()), 7) + _value(value)
        last = place + 1
    return out + _number(AC.index(0), 7)


def _value(value: int) -> list[int]:
    size = abs(value).bit_length()
    return _number(value if value > 0 else value + (1 << size) - 1, size)


def _number(value: int, size: int) -> list[int]:
    return [value >> k & 1 for k in reversed(range(size))]


def _counts(length: int, codes: int) -> bytes:
    return bytes(codes if k + 1 == length else 0 for k in range(16))


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
