from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from loaders.errors import LoaderError
from loaders.pillow import decode_rgb
from tests.images import picture


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


PICTURE = Image.fromarray(picture(120, 90))
FILES = {
    "png": saved(PICTURE, "PNG"),
    "interlaced palette": saved(PICTURE.quantize(64), "PNG"),
    "palette with alpha": saved(PICTURE.convert("RGBA").quantize(64), "PNG"),
    "grey with alpha": saved(PICTURE.convert("LA"), "PNG"),
    "bilevel": saved(PICTURE.convert("1"), "PNG"),
    "cmyk": saved(PICTURE.convert("CMYK"), "JPEG"),
    "gif": saved(PICTURE, "GIF"),
    "bmp": saved(PICTURE, "BMP"),
    "ppm": saved(PICTURE, "PPM"),
    "tiff": saved(PICTURE, "TIFF"),
}
CUTTABLE = [kind for kind in FILES if kind != "bilevel"]


@pytest.fixture
def lenient() -> Iterator[None]:
    """What many training scripts set."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    yield
    ImageFile.LOAD_TRUNCATED_IMAGES = False


@pytest.mark.parametrize("kind", FILES)
def test_pixels_are_those_of_convert_rgb(kind: str) -> None:
    with Image.open(io.BytesIO(FILES[kind])) as image:
        wanted = np.asarray((image.convert("RGBA") if kind == "palette with alpha" else image).convert("RGB"))
    np.testing.assert_array_equal(decode_rgb(FILES[kind]).pixels, wanted)


def test_the_kind_is_named() -> None:
    assert decode_rgb(FILES["png"]).kind == "PNG of mode RGB"
    assert decode_rgb(FILES["cmyk"]).kind == "JPEG of mode CMYK"


def test_what_is_left_out_is_named() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes(range(2 * 3 * 4)) for _ in range(2))  # 4 x 2 pixels of 3 x 16 bits
    header = struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0)
    deep = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert decode_rgb(deep).kind == "PNG of mode RGB, 16 bits cut to 8"
    pages = [Image.fromarray(np.full((4, 4, 3), k, np.uint8)) for k in (7, 8, 9)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    found = decode_rgb(file.getvalue())
    assert found.kind == "TIFF of mode RGB, the first of 3 pages" and (found.pixels == 7).all()


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("kind", CUTTABLE)
def test_a_file_cut_short_is_an_error_whatever_the_process_has_set(kind: str) -> None:
    cut = FILES[kind][: len(FILES[kind]) * 6 // 10]
    with Image.open(io.BytesIO(cut)) as image:
        image.load()  # Pillow itself fills the rest with grey
    with pytest.raises(LoaderError, match="truncated"):
        decode_rgb(cut)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.usefixtures("lenient")
def test_a_damaged_stream_is_an_error_whatever_the_process_has_set() -> None:
    data = bytearray(FILES["png"])
    at = data.index(b"IDAT") + 200
    data[at : at + 8] = bytes(8)
    with pytest.raises(LoaderError):
        decode_rgb(bytes(data))


@pytest.mark.usefixtures("lenient")
def test_other_threads_keep_their_own_strictness() -> None:
    """While threads decode strictly, others read what is left of a file, as the process's setting has it."""
    cut = FILES["png"][: len(FILES["png"]) * 6 // 10]

    def strictly(_: int) -> bool:
        try:
            decode_rgb(cut)
        except LoaderError:
            decode_rgb(FILES["png"])
            return True
        return False

    def leniently(_: int) -> bool:
        with Image.open(io.BytesIO(cut)) as image:
            image.load()
        return ImageFile.LOAD_TRUNCATED_IMAGES

    with ThreadPoolExecutor(8) as threads:
        strict = [threads.submit(strictly, i) for i in range(100)]
        free = [threads.submit(leniently, i) for i in range(100)]
        assert all(each.result() for each in strict) and all(each.result() for each in free)


RAMP = np.linspace(0, 4095, 48 * 40).reshape(40, 48)
DEEP = {
    "16 bit": saved(Image.fromarray((RAMP * 16).astype(np.uint16)), "PNG"),
    "12 bit in 16": saved(Image.fromarray(RAMP.astype(np.uint16)), "PNG"),
    "32 bit": saved(Image.fromarray((RAMP * 1000).astype(np.int32)), "TIFF"),
    "float": saved(Image.fromarray((RAMP / 4095).astype(np.float32)), "TIFF"),
}


@pytest.mark.parametrize("kind", DEEP)
def test_more_than_8_bits_are_refused(kind: str) -> None:
    with pytest.raises(LoaderError, match=r'would be clipped to white; .*depth="scale" or "minmax" \(--depth\)'):
        decode_rgb(DEEP[kind])


@pytest.mark.parametrize("kind", DEEP)
def test_minmax_stretches_each_image(kind: str) -> None:
    pixels, what, _ = decode_rgb(DEEP[kind], "minmax")
    assert "scaled from 0 to" in what and pixels.shape == (40, 48, 3)
    assert np.abs(pixels[:, :, 1] - RAMP / 4095 * 255).max() < 0.6


@pytest.mark.parametrize(
    ("kind", "white"), [("16 bit", 4095 * 16 / 65535), ("12 bit in 16", 4095 / 65535), ("float", 1)]
)
def test_scale_keeps_the_range_of_the_type(kind: str, white: float) -> None:
    pixels, what, _ = decode_rgb(DEEP[kind], "scale")
    assert "scaled from the full range" in what
    assert np.abs(pixels[:, :, 2] - RAMP / 4095 * 255 * white).max() < 0.6


def test_values_outside_the_range_are_not_scaled() -> None:
    with pytest.raises(
        LoaderError, match=r'takes values from 0 to 65535, these go from 0 to 4.*e\+06; use depth="minmax"'
    ):
        decode_rgb(DEEP["32 bit"], "scale")
    holes = RAMP.astype(np.float32)
    holes[3, 4] = np.nan
    with pytest.raises(LoaderError, match="not finite"):
        decode_rgb(saved(Image.fromarray(holes), "TIFF"), "minmax")


def test_a_flat_image_is_black_by_minmax() -> None:
    flat = saved(Image.fromarray(np.full((4, 4), 700, np.uint16)), "PNG")
    assert not decode_rgb(flat, "minmax").pixels.any()


def test_errors_are_one_line_and_arguments_are_checked() -> None:
    for data in (b"", b"no image", FILES["tiff"][:20]):
        with pytest.raises(LoaderError) as caught:
            decode_rgb(data)
        assert len(str(caught.value)) > 5 and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="`depth` must be one of refuse, scale, minmax, got 'auto'"):
        decode_rgb(FILES["png"], "auto")


def test_an_image_above_pillows_limit_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(LoaderError, match=r"exceeds limit of 2000 pixels.*Set PIL.Image.MAX_IMAGE_PIXELS"):
        decode_rgb(file.getvalue())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode_rgb(file.getvalue()).pixels.shape == (64, 64, 3)
