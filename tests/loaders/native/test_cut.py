"""Sub-JPEGs: the pixels under the box equal those of the whole image, and nothing else is carried along."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from loaders.native import DAMAGED, UNSUPPORTED, JpegError, codec
from tests.images import jpeg, picture
from tests.loaders.native.inner import coefficients
from tests.loaders.native.kinds import OWN, make

SIZES = [(256, 180), (203, 149), (66, 34), (17, 9), (1, 1)]
Box = tuple[int, int, int, int]


def stored(kind: str, width: int, height: int) -> bytes:
    """Level 0 of a pyramid, with markers as close together as they come."""
    return codec.transcode(make(kind, width, height), (1.0,), 90, segment=1)[0].jpeg


def boxes(width: int, height: int, count: int) -> list[Box]:
    """Random boxes, and those in the corners, of one pixel, and of everything."""
    rng = np.random.Generator(np.random.Philox(5))
    x0, y0 = rng.integers(width, size=count), rng.integers(height, size=count)
    x1, y1 = rng.integers(x0, width) + 1, rng.integers(y0, height) + 1
    found = [(int(a), int(b), int(c), int(d)) for a, b, c, d in zip(x0, y0, x1, y1, strict=True)]
    last = (width - 1, height - 1, width, height)
    return [*found, (0, 0, width, height), (0, 0, 1, 1), last, (width // 2, 0, width // 2 + 1, height)]


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("size", SIZES)
def test_pixels_equal_those_of_the_whole(kind: str, size: tuple[int, int]) -> None:
    data = stored(kind, *size)
    full = codec.decode(data)
    for x0, y0, x1, y1 in boxes(*size, 60):
        part, left, top = codec.cut(data, (x0, y0, x1, y1))
        pixels = codec.decode(part)
        assert left <= x0 and top <= y0
        inside = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
        np.testing.assert_array_equal(inside, full[y0:y1, x0:x1], err_msg=str((x0, y0, x1, y1)))


@pytest.mark.parametrize("kind", OWN)
def test_other_decoders_read_it_and_so_does_the_kernel(kind: str) -> None:
    data = stored(kind, 203, 149)
    for box in boxes(203, 149, 10):
        part, *_ = codec.cut(data, box)
        assert codec.peek(part).kernel
        with Image.open(io.BytesIO(part)) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), codec.decode(part))


def test_coefficients_are_carried_over() -> None:
    data = stored("4:4:4", 256, 180)
    whole = coefficients(data)
    part, left, top = codec.cut(data, (90, 50, 130, 110))
    for small, large in zip(coefficients(part), whole, strict=True):
        rows, columns = small.shape[:2]
        np.testing.assert_array_equal(small, large[top // 8 : top // 8 + rows, left // 8 : left // 8 + columns])


def test_only_what_is_needed_is_kept() -> None:
    data = codec.transcode(jpeg(picture(384, 256), "4:2:0", quality=98), (1.0,), 90)[0].jpeg
    part, left, top = codec.cut(data, (130, 70, 180, 90))
    info = codec.peek(part)
    assert (left, top, info.width, info.height) == (128, 64, 64, 32)
    assert info.restart_interval == 2
    assert len(part) < len(data) / 10
    assert codec.cut(data, (129, 65, 180, 90))[1:] == (96, 48)  # one pixel nearer: chroma needs its neighbours
    assert codec.cut(data, (0, 0, 384, 256)) == (data, 0, 0)


def test_what_cannot_be_cut() -> None:
    for data in (make("4:2:0", 203, 149), make("restarts", 203, 149), make("progressive", 203, 149)):
        with pytest.raises(JpegError, match="cutting needs") as caught:
            codec.cut(data, (0, 0, 10, 10))
        assert caught.value.status == UNSUPPORTED


def test_damage_is_noticed() -> None:
    data = stored("4:2:0", 203, 149)
    assert codec.cut(data[: len(data) // 2], (0, 0, 20, 20))[1:] == (0, 0)  # nothing below the box is looked at
    with pytest.raises(JpegError, match="does not end with marker") as caught:
        codec.cut(data[: len(data) // 2], (0, 120, 20, 140))
    assert caught.value.status == DAMAGED
    at = data.index(b"\xff\xd1")
    with pytest.raises(JpegError, match="does not end with marker ffd1"):
        codec.cut(data[: at + 1] + b"\xd3" + data[at + 2 :], (0, 120, 20, 140))


@pytest.mark.parametrize("box", [(0, 0, 204, 10), (-1, 0, 10, 10), (10, 10, 10, 20), (10, 30, 20, 20)])
def test_boxes_must_lie_inside(box: Box) -> None:
    with pytest.raises(ValueError, match="is not inside 203 x 149 pixels"):
        codec.cut(stored("4:2:0", 203, 149), box)
