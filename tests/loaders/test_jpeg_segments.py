from __future__ import annotations

import io
import time

import pytest
from PIL import Image

from loaders.jpeg_segments import orientation, segments
from tests.images import jpeg, picture

PLAIN = jpeg(picture(16, 12), "4:2:0")


def turned(value: int, codec: str = "JPEG", order: str = "<") -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x0131] = "a maker", value, "a program"
    Image.fromarray(picture(16, 12)).save(file, codec, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientations(order: str) -> None:
    assert [orientation(turned(value, order=order)) for value in range(10)] == [1, *range(1, 9), 1]


def test_others_are_upright() -> None:
    assert orientation(PLAIN) == orientation(b"") == orientation(turned(6, "PNG")) == 1


def test_damaged_segments_are_upright() -> None:
    data = turned(6)
    exif = data.index(b"Exif\0\0")
    assert {orientation(data[:end]) for end in range(exif + 14)} == {1}
    for wrong in (b"Exif\0\0XX", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\0\0"):
        assert orientation(data[:exif] + wrong + data[exif + len(wrong) :]) == 1, wrong


def test_segments_of_a_file() -> None:
    found = list(segments(PLAIN))
    assert {0xDB, 0xC0, 0xC4} <= {marker for marker, _, _ in found}
    assert all(PLAIN[start - 4 : start - 2] == bytes([0xFF, marker]) for marker, start, _ in found)


def test_no_file_takes_long() -> None:
    hostile = b"\xff\xd8" + b"\xff\xe0\0\2" * 5_000_000
    begun = time.monotonic()
    assert orientation(hostile) == 1 and time.monotonic() - begun < 0.5
