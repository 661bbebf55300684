"""Progressive JPEGs: the planes of baseline ones with the same coefficients; whatever is unusual is left to libjpeg."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from loaders.native import UNSUPPORTED, JpegError
from tests.images import jpeg, picture
from tests.loaders.native.inner import decode_region, planes

SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "grey")


def noise(width: int, height: int) -> NDArray[np.uint8]:
    """A picture whose blocks have coefficients up to the last one."""
    return np.random.Generator(np.random.Philox(key=[8, width])).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("restart", [0, 1, 7])
@pytest.mark.parametrize("make", [picture, noise])
def test_planes_equal_those_of_a_baseline_jpeg(
    isa: str,  # noqa: ARG001
    sampling: str,
    restart: int,
    make: Callable[[int, int], NDArray[np.uint8]],
) -> None:
    for width, height in ((97, 75), (64, 48), (17, 9), (1, 1)):
        for quality in (30, 97):
            pixels = make(width, height)
            baseline = jpeg(pixels, sampling, restart, quality=quality)
            progressive = jpeg(pixels, sampling, restart, quality=quality, progressive=True)
            for scale in (1, 2, 4, 8):
                region = (0, 0, -(-width // scale), -(-height // scale))
                status, why, found = planes(progressive, region, scale)
                assert status == 0, why
                np.testing.assert_array_equal(found, planes(baseline, region, scale)[2])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("restart", [0, 3])
def test_a_region_equals_that_of_a_baseline_jpeg(isa: str, sampling: str, restart: int) -> None:  # noqa: ARG001
    rng = np.random.Generator(np.random.Philox(key=[6, restart]))
    pixels = picture(150, 110)
    baseline, progressive = (jpeg(pixels, sampling, restart, progressive=p) for p in (False, True))
    for _ in range(30):
        x0, y0 = int(rng.integers(0, 149)), int(rng.integers(0, 109))
        region = (x0, y0, int(rng.integers(x0 + 1, 151)), int(rng.integers(y0 + 1, 111)))
        status, why, found = planes(progressive, region)
        assert status == 0, why
        np.testing.assert_array_equal(found, planes(baseline, region)[2])


def test_what_is_read_is_sound_for_libjpeg_too() -> None:
    """Of 1,500 damaged files: never a verdict that libjpeg does not share."""
    rng = np.random.Generator(np.random.Philox(key=[7, 7]))
    whole, verdicts = (0, 0, 75, 53), set()
    for k in range(1500):
        data = bytearray(
            jpeg(picture(75, 53, k % 5), SAMPLINGS[k % 4], 5 * (k % 2), progressive=True, quality=60 + k % 39)
        )
        scans = data.index(b"\xff\xda")
        at = int(rng.integers(scans, len(data) - 2))
        if k % 3 == 0:
            del data[at : at + int(rng.integers(1, 20))]
        elif k % 3 == 1:
            data[at] ^= 1 << int(rng.integers(8))
        else:
            data[at:at] = rng.integers(0, 256, 3, np.uint8).tobytes()
        status, _, _ = planes(bytes(data), whole)
        if status == 0:
            decode_region(bytes(data), whole)  # raises where libjpeg finds damage
        verdicts.add(status)
    assert verdicts >= {0, UNSUPPORTED}


def test_incomplete_files_and_other_processes_are_left_to_libjpeg() -> None:
    data = jpeg(picture(64, 48), "4:2:0", progressive=True)
    last = data.rindex(b"\xff\xda")
    for left in (data[:last] + b"\xff\xd9", data[: last + 40], data.replace(b"\xff\xc2", b"\xff\xca", 1)):
        assert planes(left, (0, 0, 64, 48))[0] != 0
    with pytest.raises(JpegError):
        decode_region(data[: last + 40], (0, 0, 64, 48))
