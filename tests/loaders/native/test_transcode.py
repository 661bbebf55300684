"""Stored levels: what must stay the same, what must get smaller, and where the restart markers are."""

from __future__ import annotations

import io
import weakref
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders.native import Record, codec
from loaders.native.kernel import builds
from tests.images import jpeg, picture
from tests.loaders.native.inner import coefficients, row_check, use_build
from tests.loaders.native.kinds import KINDS, OWN, SIZES, make


def same_coefficients(a: bytes, b: bytes) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(coefficients(a), coefficients(b), strict=True))


def mcus(record: Record) -> tuple[int, int]:
    """MCUs a row, MCU rows."""
    info = codec.peek(record.jpeg)
    width, height = {"4:2:0": (16, 16), "4:2:2": (16, 8), "4:4:0": (8, 16), "4:1:1": (32, 8)}.get(info.sampling, (8, 8))
    return -(-info.width // width), -(-info.height // height)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_level_0_keeps_every_coefficient(kind: str, size: tuple[int, int]) -> None:
    source = make(kind, *size)
    (record,) = codec.transcode(source, (1.0,), 90)
    assert same_coefficients(source, record.jpeg)
    np.testing.assert_array_equal(codec.decode(record.jpeg), codec.decode(source))
    before, after = codec.peek(source), codec.peek(record.jpeg)
    assert (after.width, after.height, after.sampling, after.progressive) == (*size, before.sampling, False)
    assert after.kernel == (kind != "4:1:1")
    assert record.note == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_rows_and_restart_markers(kind: str, size: tuple[int, int]) -> None:
    for record in codec.transcode(make(kind, *size), (1.0, 0.7, 0.5), 95):
        across, down = mcus(record)
        interval = codec.peek(record.jpeg).restart_interval
        assert across % interval == 0 and (interval <= 8 or interval == across)
        checks, rows = np.split(np.frombuffer(record.table, "<u4"), [down + 1])
        assert record.rows == down == len(rows)
        assert rows[0] == record.head
        assert record.jpeg[record.head - 3 : record.head] == b"\0\x3f\0"  # the end of a scan header
        assert checks[0] == row_check(record.table[4 * (down + 1) :] + record.jpeg[: record.head])
        ends = [*rows.tolist()[1:], len(record.jpeg)]
        for row, (offset, end) in enumerate(zip(rows.tolist(), ends, strict=True)):
            assert checks[1 + row] == row_check(record.jpeg[offset:end])
            if row:
                assert record.jpeg[offset - 2] == 0xFF
                assert record.jpeg[offset - 1] == 0xD0 | (row * (across // interval) - 1) & 7
        assert record.jpeg[-2:] == b"\xff\xd9"


def test_markers_are_near_the_wanted_distance() -> None:
    source = jpeg(picture(384, 256), "4:2:0", quality=98)
    for wanted, interval in ((4, 4), (3, 3), (6, 6), (8, 8), (100, 8)):
        (record,) = codec.transcode(source, (1.0,), 90, segment=wanted)
        assert codec.peek(record.jpeg).restart_interval == interval


def test_markers_take_three_percent_at_most() -> None:
    for quality in (20, 60, 90, 100):
        source = jpeg(picture(384, 256), "4:2:0", quality=quality)
        (plain,) = codec.transcode(source, (1.0,), 90, segment=1000)
        (marked,) = codec.transcode(source, (1.0,), 90)
        assert len(marked.jpeg) <= 1.03 * len(plain.jpeg)


def tables(data: bytes) -> list[np.ndarray]:
    """Quantisation of luma and chroma, [8, 8] each, row by row."""
    with Image.open(io.BytesIO(data)) as image:
        found = {name: np.reshape(table, (8, 8)) for name, table in image.quantization.items()}
    return [found[0], found.get(1, found[0])]


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 75, 99])
def test_levels_are_quantised_evenly_but_not_finer_than_their_source(sampling: str, quality: int) -> None:
    source = jpeg(picture(400, 320), sampling, quality=quality)
    for record in codec.transcode(source, (1.0, 0.5, 0.25), 90)[1:]:
        x, y = record.width / 400, record.height / 320
        for chroma, (stored, wanted) in enumerate(zip(tables(record.jpeg), tables(source), strict=True)):
            double = 2 if chroma and sampling == "4:2:0" else 1  # the source's chroma has half the pixels
            for v, u in np.ndindex(8, 8):
                even = 5 * (1 + (u * u + v * v) / 49)
                at = min(7, int(v * y * double + 0.5)), min(7, int(u * x * double + 0.5))
                assert abs(stored[v, u] - max(even, wanted[at] * double * (x * y) ** 0.5)) <= 0.5
        two = b"\xff\xdb\0\x43\1" in record.jpeg
        assert two != np.array_equal(*tables(record.jpeg))  # a second table only if it differs
        assert two or quality != 30


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "scans"])  # its colours lie outside RGB
def test_reduced_levels_look_like_the_image(kind: str) -> None:
    source = make(kind, 203, 149)
    full, half, quarter = codec.transcode(source, (1.0, 0.5, 0.25), 98)
    assert (full.width, full.height) == (203, 149)
    image = Image.fromarray(codec.decode(source))
    for record, width in ((half, 96), (quarter, 48)):
        assert (record.width, record.height) == (width, round(149 * width / 203))
        info = codec.peek(record.jpeg)
        assert (info.sampling, info.kernel) == ("grey" if kind == "grey" else "4:4:4", True)
        wanted = np.asarray(image.resize((record.width, record.height), Image.Resampling.LANCZOS), float)
        assert np.sqrt(np.mean((codec.decode(record.jpeg) - wanted) ** 2)) < 3


def test_reduced_widths_divide_well_and_never_grow() -> None:
    source = make("4:2:0", 203, 40)
    for ratio in np.linspace(0.02, 1, 40):
        record = codec.transcode(source, (1.0, float(ratio)), 90)[1]
        across, _ = mcus(record)
        assert 1 <= record.width <= 203 and abs(record.width - 203 * ratio) <= 9
        assert across < 3 or any(across % d == 0 for d in (3, 4, 5, 6)), record.width
        assert abs(record.height - 40 * record.width / 203) <= 0.5 or record.height == 1


def test_quality_is_of_the_reduced_levels_alone() -> None:
    source = make("4:2:0", 203, 149)
    low, high = codec.transcode(source, (1.0, 0.5), 60), codec.transcode(source, (1.0, 0.5), 95)
    assert low[0].jpeg == high[0].jpeg
    assert len(low[1].jpeg) < 0.7 * len(high[1].jpeg)


def test_result_depends_on_nothing_else() -> None:
    source = make("progressive", 203, 149)
    first, again = codec.transcode(source, (1.0, 0.5), 90), codec.transcode(source, (1.0, 0.5), 90)
    assert [record.jpeg for record in first] == [record.jpeg for record in again]


def test_metadata_is_dropped_and_orientation_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    options = {"exif": exif, "icc_profile": b"profile" * 99, "comment": b"a comment"}
    source = jpeg(picture(61, 47), "4:2:0", **options)
    (record,) = codec.transcode(source, (1.0,), 90)
    with Image.open(io.BytesIO(record.jpeg)) as image:
        assert not image.getexif() and "icc_profile" not in image.info and "comment" not in image.info
        np.testing.assert_array_equal(np.asarray(image), codec.decode(source))
    assert len(record.jpeg) < len(source) - 700


def test_colours_need_their_marker() -> None:
    source = make("rgb", 61, 47)
    full, half = codec.transcode(source, (1.0, 0.5), 95)
    assert b"Adobe" in full.jpeg and b"JFIF" not in full.jpeg
    assert b"JFIF" in half.jpeg
    np.testing.assert_array_equal(codec.decode(full.jpeg), codec.decode(source))


def test_oddities_are_noted() -> None:
    source = make("4:2:0", 61, 47)
    stray = source[:-2] + bytes(range(1, 8)) + source[-2:]
    for data, note in ((stray, "left out 7 byte(s) without meaning"), (source[:-2], "end-of-image marker is missing")):
        (record,) = codec.transcode(data, (1.0,), 90)
        assert note in record.note
        assert same_coefficients(record.jpeg, source)
    progressive = make("progressive", 61, 47)
    (record,) = codec.transcode(progressive[:-2] + bytes(60) + progressive[-2:], (1.0,), 90)
    assert "without meaning" in record.note and same_coefficients(record.jpeg, progressive)
    assert codec.transcode(source + b"whatever follows", (1.0,), 90)[0].note == ""


def test_standard_kinds_are_read_by_the_kernel() -> None:
    for kind in OWN:
        assert all(codec.peek(record.jpeg).kernel for record in codec.transcode(make(kind, 61, 47), (1.0, 0.5), 90))


@pytest.mark.parametrize("kind", KINDS)
def test_every_build_makes_the_same_levels(kind: str) -> None:
    source, made = make(kind, 131, 90), []
    for build in reversed(builds()):
        use_build(build)
        made.append([(record.table, record.jpeg) for record in codec.transcode(source, (1.0, 0.5), 90)])
    assert all(each == made[0] for each in made)


@pytest.mark.parametrize(("mode", "size"), [("RGB", (96, 64)), ("RGB", (90, 61)), ("L", (96, 75))])
def test_reduced_levels_have_the_coefficients_of_libjpeg(isa: str, mode: str, size: tuple[int, int]) -> None:
    """A level of the same size: reducing changes no pixel, so what remains is DCT and quantisation, to be compared."""
    assert isa
    file = io.BytesIO()
    Image.fromarray(picture(*size)).convert(mode).save(file, "JPEG", quality=97, subsampling=0)
    level = codec.transcode(file.getvalue(), (1.0, 1.0), 90)[1]
    with Image.open(file) as image, Image.open(io.BytesIO(level.jpeg)) as stored:
        image.draft("YCbCr" if mode == "RGB" else "L", None)
        theirs = io.BytesIO()
        image.save(theirs, "JPEG", qtables=[list(stored.quantization[0])] * 2, subsampling=0)
    assert same_coefficients(level.jpeg, theirs.getvalue())


def test_a_filter_that_lost_the_race_into_the_cache_lives_through_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that start together each make one, and the cache keeps but one of them; the kernel has only addresses."""
    made: list[weakref.ref[Any]] = []
    call, make_filter = codec._call, codec._reduction.__wrapped__

    def uncached() -> Any:
        filter = make_filter()
        made.append(weakref.ref(filter.table))
        return filter

    def watched(*arguments: Any) -> None:
        assert made[0]() is not None
        call(*arguments)

    monkeypatch.setattr(codec, "_reduction", uncached)
    monkeypatch.setattr(codec, "_call", watched)
    codec.transcode(make("4:2:0", 61, 47), (1.0, 0.5), 90)
    assert made
