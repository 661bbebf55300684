"""The own decoder against libjpeg-turbo, bit by bit: component planes before any resampling."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from loaders.native.kernel import builds
from tests.images import SAMPLINGS, jpeg, picture
from tests.loaders.native.inner import planes as own
from tests.loaders.native.inner import use_build


def reference(data: bytes, scale: int = 1) -> NDArray[np.uint8]:
    """libjpeg-turbo's pixels before colour conversion, [height, width, components], chroma brought to full size."""
    with Image.open(io.BytesIO(data)) as image:
        mode = "L" if image.mode == "L" else "YCbCr"
        image.draft(mode, (max(1, image.width // scale), max(1, image.height // scale)))
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def triangle(plane: NDArray[np.uint8], axis: int) -> NDArray[np.int64]:
    """libjpeg's fancy upsampling along one axis, unrounded: 3 near + 1 far."""
    x = np.moveaxis(plane.astype(np.int64), axis, 0)
    before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
    out = np.stack([3 * x + before, 3 * x + after], axis=1).reshape(-1, *x.shape[1:])
    return np.moveaxis(out, 0, axis)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("restart", [0, 1, 3, 4])
def test_luma_equals_libjpeg(isa: str, sampling: str, scale: int, restart: int) -> None:  # noqa: ARG001
    for width, height in ((97, 75), (64, 48), (17, 9), (1, 1)):
        data = jpeg(picture(width, height), sampling, restart)
        wanted = reference(data, scale)
        status, why, planes = own(data, (0, 0, wanted.shape[1], wanted.shape[0]), scale)
        assert status == 0, why
        luma = planes[: wanted.shape[0] * wanted.shape[1]].reshape(wanted.shape[:2])
        np.testing.assert_array_equal(luma, wanted[:, :, 0])


def test_levels_that_no_picture_has_wrap_as_in_libjpeg(isa: str) -> None:  # noqa: ARG001
    """At 1/8 libjpeg has no SIMD that would saturate them."""
    data = bytearray(jpeg(picture(160, 120), "grey"))
    data[data.index(b"\xff\xdb") + 5] = 200  # the DC coefficient's step
    wanted = reference(bytes(data), 8)[:, :, 0]
    assert len(np.unique(wanted)) > 20
    status, why, planes = own(bytes(data), (0, 0, 20, 15), 8)
    assert status == 0, why
    np.testing.assert_array_equal(planes[: 20 * 15].reshape(15, 20), wanted)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0"])
def test_chroma_equals_libjpeg(isa: str, sampling: str) -> None:  # noqa: ARG001
    data = jpeg(picture(96, 64), sampling, restart=2)
    wanted = reference(data)
    _, _, planes = own(data, (0, 0, 96, 64))
    down_x, down_y = (2 if sampling in ("4:2:2", "4:2:0") else 1), (2 if sampling in ("4:4:0", "4:2:0") else 1)
    chroma = planes[96 * 64 :][: 96 * 64 // down_x // down_y].reshape(64 // down_y, 96 // down_x)
    if sampling == "4:4:4":
        full = chroma.astype(np.int64)
    elif sampling == "4:2:0":  # rounded as in jdsample.c: 8 for even columns, 7 for odd ones
        full = (triangle(triangle(chroma, 0), 1) + np.tile([8, 7], 48)) >> 4
    elif sampling == "4:2:2":
        full = (triangle(chroma, 1) + np.tile([1, 2], 48)) >> 2
    else:
        full = (triangle(chroma, 0) + np.tile([1, 2], 32)[:, None]) >> 2
    np.testing.assert_array_equal(full, wanted[:, :, 1])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("restart", [0, 1, 2, 5])
def test_a_region_equals_the_same_region_of_a_full_decode(isa: str, sampling: str, restart: int) -> None:  # noqa: ARG001
    rng = np.random.Generator(np.random.Philox(key=[1, restart]))
    data = jpeg(picture(150, 110), sampling, restart)
    wanted = reference(data)[:, :, 0]
    for _ in range(30):
        x0, y0 = int(rng.integers(0, 149)), int(rng.integers(0, 109))
        x1, y1 = int(rng.integers(x0 + 1, 151)), int(rng.integers(y0 + 1, 111))
        status, why, planes = own(data, (x0, y0, x1, y1))
        assert status == 0, why
        luma = planes[: 150 * 110].reshape(110, 150)
        np.testing.assert_array_equal(luma[y0:y1, x0:x1], wanted[y0:y1, x0:x1])


def noise(width: int, height: int) -> NDArray[np.uint8]:
    """A picture whose blocks have coefficients up to the last one, so that many end without an end-of-block code."""
    return np.random.Generator(np.random.Philox(key=[3, width])).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("kind", ["noise", "picture"])
def test_many_blocks_passed_over(isa: str, sampling: str, kind: str) -> None:  # noqa: ARG001
    """The region is the last corner of a scan without restart markers; at 1/8 luma blocks are one pixel each."""
    pixels = noise(300, 200) if kind == "noise" else picture(300, 200)
    data = jpeg(pixels, sampling, quality=97)
    for scale in (1, 2, 8):
        wanted = reference(data, scale)[:, :, 0]
        height, width = wanted.shape
        for x0, y0, x1, y1 in ((width * 3 // 4, height * 3 // 4, width, height), (0, 0, width, height)):
            status, why, planes = own(data, (x0, y0, x1, y1), scale)
            assert status == 0, why
            luma = planes[: height * width].reshape(height, width)
            np.testing.assert_array_equal(luma[y0:y1, x0:x1], wanted[y0:y1, x0:x1])


def test_damage_in_blocks_passed_over_is_seen_as_in_blocks_shown() -> None:
    rng = np.random.Generator(np.random.Philox(key=[4, 4]))
    data = np.frombuffer(jpeg(noise(256, 192), "4:2:0", quality=97), np.uint8)
    scan = data.tobytes().index(b"\xff\xda") + 14
    verdicts = set()
    for _ in range(200):
        broken = data.copy()
        broken[rng.integers(scan, (scan + len(data)) // 2, 2)] = rng.integers(0, 256, 2)
        status, why, whole = own(broken.tobytes(), (0, 0, 256, 192))
        verdict, reason, corner = own(broken.tobytes(), (160, 160, 256, 192))  # needs the last MCU, too
        assert (verdict, reason) == (status, why)
        verdicts.add(why)
        if status == 0:
            luma, part = (planes[: 256 * 192].reshape(192, 256)[160:, 160:] for planes in (whole, corner))
            np.testing.assert_array_equal(part, luma)
    assert len(verdicts) > 1


def test_only_what_the_region_needs_is_decoded() -> None:
    data = jpeg(picture(160, 160), "4:4:4", restart=1)
    _, _, planes = own(data, (80, 80, 88, 88))
    assert np.count_nonzero(planes[: 160 * 160]) <= 64


def test_every_build_gives_the_same_planes() -> None:
    data = jpeg(picture(200, 150), "4:2:0", restart=4)
    made = set()
    for name in reversed(builds()):
        use_build(name)
        made.add(own(data, (0, 0, 200, 150))[2].tobytes())
    assert len(made) == 1


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_every_build_saturates_what_no_picture_has_alike(scale: int) -> None:
    data = bytearray(jpeg(picture(160, 120), "4:4:4"))
    at = data.index(b"\xff\xdb") + 5
    data[at : at + 64] = bytes([255]) * 64  # steps so large that coefficients leave 16 bits
    made = set()
    for name in reversed(builds()):
        use_build(name)
        status, why, planes = own(bytes(data), (0, 0, 160 // scale, 120 // scale), scale)
        assert status == 0, why
        made.add(planes.tobytes())
    assert len(made) == 1


def damaged_segment(data: bytes, how: str) -> bytes:
    marks = [i for i in range(len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    a, b = marks[3], marks[4]
    middle = data[a + 2 : b]
    return {
        "short": data[: a + 2] + middle[: len(middle) // 3] + data[b:],
        "long": data[: a + 2] + middle + bytes(4) + data[b:],
        "number": data[: a + 1] + bytes([0xD0 | ((data[a + 1] + 1) & 7)]) + data[a + 2 :],
        "missing": data[:a] + data[b:],
        "cut": data[: a + 5],
    }[how]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("short", "the coded data end too early (MCUs 16 to 19)"),
        ("long", "coded data are left over (MCUs 16 to 19)"),
        ("number", "marker ffd4 stands where restart segment 3 ends"),
        ("missing", "marker ffd4 stands where restart segment 3 ends"),
        ("cut", "the scan is cut short in restart segment 4"),
    ],
)
def test_damage_is_reported(isa: str, how: str, said: str) -> None:  # noqa: ARG001
    data = jpeg(picture(128, 96), "4:2:0", restart=4)
    status, why, _ = own(damaged_segment(data, how), (0, 0, 128, 96))
    assert (status, why) == (1, said)
    assert own(data, (0, 0, 128, 96))[0] == 0


def test_bytes_changed_at_random_never_crash(isa: str) -> None:  # noqa: ARG001
    rng = np.random.Generator(np.random.Philox(key=[2, 2]))
    for sampling in SAMPLINGS:
        data = np.frombuffer(jpeg(picture(64, 48), sampling, restart=2), np.uint8)
        for _ in range(100):
            broken = data.copy()
            broken[rng.integers(2, len(data), 4)] = rng.integers(0, 256, 4)
            status, why, _ = own(broken.tobytes(), (8, 8, 60, 40), int(rng.choice([1, 2, 4, 8])))
            assert status == 0 or why
