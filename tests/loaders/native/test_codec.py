"""Headers, decoding, encoding, and what happens to files that are no good."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from loaders.native import DAMAGED, UNSUPPORTED, JpegError, codec
from tests.images import jpeg, picture
from tests.loaders.native.inner import coefficients, decode_region
from tests.loaders.native.kinds import KINDS, OWN, SIZES, make, resized, scans


@pytest.mark.parametrize("kind", KINDS)
def test_peek_says_what_the_file_is(kind: str) -> None:
    info = codec.peek(make(kind, 61, 47))
    sampling = {"rgb": "4:4:4", "scans": "4:4:4", "restarts": "4:2:0", "progressive": "4:2:0"}.get(kind, kind)
    assert (info.width, info.height, info.sampling) == (61, 47, sampling)
    assert info.components == (1 if kind == "grey" else 3)
    assert info.restart_interval == (5 if kind == "restarts" else 0)
    assert info.progressive == (kind == "progressive")
    assert info.kernel == (kind in OWN)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_decode_equals_pillow(kind: str, size: tuple[int, int]) -> None:
    data = make(kind, *size)
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(codec.decode(data), wanted)


def test_decode_reduces_by_the_dct() -> None:
    data = make("4:2:0", 203, 149)
    full = codec.decode(data).astype(float)
    for scale in (2, 4, 8):
        small = codec.decode(data, scale)
        assert small.shape == (-(-149 // scale), -(-203 // scale), 3)
        block = full[: 149 // scale * scale, : 203 // scale * scale]
        means = block.reshape(149 // scale, scale, 203 // scale, scale, 3).mean((1, 3))
        assert np.abs(means - small[: 149 // scale, : 203 // scale]).mean() < 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_region_equals_the_full_decode(kind: str, scale: int) -> None:
    rng = np.random.Generator(np.random.Philox(7))
    for width, height in ((203, 149), (61, 47), (17, 9), (1, 1)):
        data = make(kind, width, height)
        full = codec.decode(data, scale)
        tall, wide = full.shape[:2]
        for _ in range(12):
            x0, y0 = int(rng.integers(wide)), int(rng.integers(tall))
            x1, y1 = int(rng.integers(x0, wide)) + 1, int(rng.integers(y0, tall)) + 1
            region = decode_region(data, (x0, y0, x1, y1), scale)
            np.testing.assert_array_equal(region, full[y0:y1, x0:x1], err_msg=f"{width}x{height}: {x0, y0, x1, y1}")


def test_region_below_which_a_file_is_damaged() -> None:
    data = make("4:1:1", 203, 149)
    full = codec.decode(data)
    cut_short = data[: len(data) // 2]
    np.testing.assert_array_equal(decode_region(cut_short, (0, 0, 203, 40)), full[:40])
    with pytest.raises(JpegError):
        decode_region(cut_short, (0, 100, 203, 149))


@pytest.mark.parametrize("size", SIZES)
def test_encode(size: tuple[int, int]) -> None:
    pixels = picture(*size)
    data = codec.encode(pixels, 95)
    assert codec.peek(data)[:4] == (*size, 3, "4:4:4")
    error = codec.decode(data).astype(float) - pixels
    assert np.sqrt(np.mean(error**2)) < 4
    assert len(codec.encode(pixels, 40)) < len(data) or size == (1, 1)


def test_coefficients_are_those_of_the_image() -> None:
    grey = codec.encode(np.full((24, 16, 3), 160, np.uint8), 100)
    luma, blue, red = coefficients(grey)
    assert luma.shape == (3, 2, 64)
    assert (luma[..., 0] == 8 * (160 - 128)).all()
    assert not luma[..., 1:].any() and not blue.any() and not red.any()


def cmyk() -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture(61, 47)).convert("CMYK").save(out, "JPEG")
    return out.getvalue()


GOOD = make("4:2:0", 203, 149)
MARKED = make("restarts", 203, 149)
SCAN = MARKED.index(b"\xff\xda") + 14
BAD = {
    "empty": (b"", DAMAGED, "0 bytes"),
    "text": (b"hello, I am a text file", UNSUPPORTED, "not a JPEG"),
    "headers cut short": (GOOD[:200], DAMAGED, "cut short"),
    "scan cut short": (GOOD[: len(GOOD) // 2], DAMAGED, ""),
    "zeros in the scan": (MARKED[: SCAN + 500] + bytes(800) + MARKED[SCAN + 1300 :], DAMAGED, ""),
    "marker in the scan": (GOOD[: SCAN + 500] + b"\xff\xc0" + GOOD[SCAN + 502 :], DAMAGED, ""),
    "larger than its scan": (resized(GOOD, 203, 300), DAMAGED, ""),
    "four colours": (cmyk(), UNSUPPORTED, "4 colour components"),
    "too many pixels": (resized(GOOD, 65500, 65500), UNSUPPORTED, "too many"),
    "too many scans": (scans(jpeg(picture(17, 9), "grey"), 300), UNSUPPORTED, "100 scans"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_named_in_silence(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, status, reason = BAD[what]
    with pytest.raises(JpegError) as caught:
        codec.transcode(data, (1.0, 0.5), 90)
    assert (caught.value.status, reason in str(caught.value)) == (status, True), caught.value
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 8
    if what != "too many pixels":  # decode() would first ask for a buffer of that size
        with pytest.raises(JpegError):
            codec.decode(data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "restarts"])
def test_damage_anywhere_never_crashes(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    good = make(kind, 61, 47)
    rng = np.random.Generator(np.random.Philox(3))
    refused = 0
    for _ in range(150):
        data = bytearray(good)
        for at in rng.integers(2, len(good), int(rng.integers(1, 4))):
            data[at] = int(rng.integers(256))
        for job in (codec.decode, lambda d: codec.transcode(d, (1.0, 0.5), 90), lambda d: codec.cut(d, (0, 0, 1, 1))):
            try:
                job(bytes(data))
            except (JpegError, ValueError):
                refused += 1
    assert refused > 150
    assert capfd.readouterr() == ("", "")


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(JpegError(DAMAGED, "why")))
    assert (error.status, str(error)) == (DAMAGED, "why")


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="`scale` must be 1, 2, 4 or 8, got 3"):
        codec.decode(GOOD, 3)
    with pytest.raises(ValueError, match="`quality` must be from 1 to 100, got 0"):
        codec.encode(picture(8, 8), 0)
    with pytest.raises(ValueError, match="uint8 of shape"):
        codec.encode(np.zeros((8, 8, 3), np.float32), 90)  # type: ignore[arg-type]
    for ratios in ((0.5,), (1.0, 2.0), ()):
        with pytest.raises(ValueError, match="rati"):
            codec.transcode(GOOD, ratios, 90)
    for quality in (101, (90, 0)):
        with pytest.raises(ValueError, match="quality"):
            codec.transcode(GOOD, (1.0, 0.5), quality)
