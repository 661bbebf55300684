from __future__ import annotations

import numpy as np
import pytest

from loaders.native import crc32c


def bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],  # RFC 3720, B.4
)
def test_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def test_every_length_and_place() -> None:
    data = np.random.default_rng(0).integers(0, 256, 80, np.uint8).tobytes()
    for start in range(9):
        for end in range(start, 40):
            assert crc32c(data[start:end]) == bit_by_bit(data[start:end])
