from __future__ import annotations

import errno
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import native
from loaders.beton import layout
from loaders.beton.fields import parse_fields
from loaders.conversion.settings import Settings
from loaders.conversion.transcode import Job, Refused, convert_job, read_image, records_of
from loaders.errors import BadDataset, TooManyOpenFiles
from loaders.plan.records import table_bytes
from loaders.sources.labels import Labels
from loaders.sources.source import FileRange, Sample
from tests.loaders.native.inner import coefficients

DAMAGED = ("empty", "half", "half_png", "header", "text")
LOSSLESS = ("grey", "progressive", "exif", "tiny")


def decoded(data: bytes) -> np.ndarray:
    """Pixels as torchvision's default loader has them."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_jpegs_keep_their_pixels(odd_files: dict[str, bytes], kind: str) -> None:
    records, why = records_of(odd_files[kind], (1.0, 0.5), 95)
    assert why == ""
    np.testing.assert_array_equal(decoded(records[0].jpeg), decoded(odd_files[kind]))
    np.testing.assert_array_equal(native.decode(records[0].jpeg), native.decode(odd_files[kind]))


def test_stray_bytes_are_left_out_and_noted(odd_files: dict[str, bytes]) -> None:
    records, why = records_of(odd_files["stray"], (1.0,), 95)
    assert why == "" and records[0].note
    np.testing.assert_array_equal(native.decode(records[0].jpeg), decoded(odd_files["stray"]))


@pytest.mark.parametrize("kind", LOSSLESS)
def test_quantised_coefficients_stay(odd_files: dict[str, bytes], kind: str) -> None:
    records, _ = records_of(odd_files[kind], (1.0,), 95)
    before, after = coefficients(odd_files[kind]), coefficients(records[0].jpeg)
    assert len(before) == len(after) == (1 if kind == "grey" else 3)
    for ours, theirs in zip(after, before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with Image.open(io.BytesIO(odd_files[kind])) as source, Image.open(io.BytesIO(records[0].jpeg)) as stored:
        assert stored.quantization == source.quantization


@pytest.mark.parametrize("kind", ["cmyk", "png", "rgba", "palette"])
def test_other_images_become_rgb_as_torchvision_has_them(odd_files: dict[str, bytes], kind: str) -> None:
    truth = decoded(odd_files[kind])
    records, why = records_of(odd_files[kind], (1.0, 0.5), 95)
    assert "of mode" in why and "stored as RGB at quality 95" in why
    assert (records[0].width, records[0].height) == (160, 120)
    error = decoded(records[0].jpeg).astype(float) - truth
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 34


def test_more_than_8_bits_need_to_be_asked_for(odd_files: dict[str, bytes], pixels: np.ndarray) -> None:
    with pytest.raises(Refused, match=r"more than 8 bits a sample would be clipped to white; .*\(--depth\)"):
        records_of(odd_files["deep"], (1.0,), 95)
    records, why = records_of(odd_files["deep"], (1.0,), 95, "scale")
    assert re.match("PNG of mode I(;16)?, scaled from the full range, stored as RGB", why)  # I: of older Pillows
    assert np.abs(decoded(records[0].jpeg)[:, :, 0].astype(int) - pixels[:, :, 0]).max() < 25


def test_an_incomplete_progressive_jpeg_has_the_pixels_that_pillow_shows(odd_files: dict[str, bytes]) -> None:
    """libjpeg guesses missing coefficients from neighbouring blocks, which the kernel does not."""
    source = odd_files["progressive"]
    scans = [at for at in range(len(source)) if source[at : at + 2] == b"\xff\xda"]
    incomplete = source[: scans[1]] + b"\xff\xd9"
    records, why = records_of(incomplete, (1.0,), 95)
    assert "JPEG of mode RGB (incomplete: scans of colour component 0 are missing), stored" in why
    error = decoded(records[0].jpeg).astype(float) - decoded(incomplete)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38
    with pytest.raises(Refused, match="incomplete"):
        records_of(source[: scans[1]], (1.0,), 95)


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_refused_with_a_reason(odd_files: dict[str, bytes], kind: str) -> None:
    with pytest.raises(Refused) as caught:
        records_of(odd_files[kind], (1.0,), 95)
    assert len(str(caught.value)) > 5 and "\n" not in str(caught.value)


def job(folder: Path, names: list[str], overhead: float = 9, **changes: Any) -> Job:
    sizes = [(folder / name).stat().st_size if (folder / name).exists() else 0 for name in names]
    samples = [Sample(n, FileRange(str(folder / n), size), {"label": 1}) for n, size in zip(names, sizes, strict=True)]
    settings, labels = Settings(quality=95, overhead=overhead), Labels(["a", "b"], None)
    return Job(0, samples, (1.0, 0.5), settings, labels)._replace(**changes)


def test_a_job_tells_what_became_of_each_file(odd_folder: Path) -> None:
    names = ["a/grey.JPEG", "a/text.JPEG", "a/png.JPEG", "a/gone.JPEG", "b/0.jpg"]
    done = convert_job(job(odd_folder, names))
    assert done.kept == [0, 2, 4]
    assert [position for position, _ in done.refused] == [1, 3]
    assert [position for position, _ in done.changed] == [2]
    assert done.levels.shape == (3, 2)
    for level in range(2):
        end = 0
        for row in done.levels[:, level]:
            assert int(row["ptr"]) == end + table_bytes(int(row["rows"]))
            end = int(row["ptr"]) + int(row["size"])
            jpeg = done.blobs[level][int(row["ptr"]) : end]
            assert decoded(jpeg).shape[:2] == (row["height"], row["width"])
        assert end == len(done.blobs[level])


def test_rows_are_tabled_before_each_jpeg(odd_folder: Path) -> None:
    done = convert_job(job(odd_folder, ["b/0.jpg"]))
    for level, row in enumerate(done.levels[0]):
        ptr, rows = int(row["ptr"]), int(row["rows"])
        table = np.frombuffer(done.blobs[level][ptr - 4 * rows : ptr], "<u4").astype(int)
        assert table[0] == row["head"] and (np.diff(table) > 0).all() and table[-1] < row["size"]
        jpeg = done.blobs[level][ptr:]
        assert all(jpeg[at - 2] == 0xFF and jpeg[at - 1] in range(0xD0, 0xD8) for at in table[1:])


def test_small_levels_that_do_not_fit_are_left_out(odd_folder: Path) -> None:
    done = convert_job(job(odd_folder, ["b/0.jpg", "b/1.jpg"], overhead=0))
    assert done.levels["width"].tolist() == [[160, 0], [160, 0]]
    assert done.levels["ptr"][:, 1].tolist() == [0, 0] and done.blobs[1] == b""


def test_a_record_larger_than_any_page_is_refused(odd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_PAGE", 500)
    done = convert_job(job(odd_folder, ["b/0.jpg"]))
    assert "largest page of 500; shrink that image" in done.refused[0][1]


def test_targets_are_stored_or_refused(odd_folder: Path) -> None:
    image = (odd_folder / "b/0.jpg").read_bytes()
    values = [{"label": "b", "x": 2}, {"label": 0, "x": 2.5}, {"label": "c", "x": 1}, {"label": 2, "x": 1}, {"x": 1}]
    samples = [Sample(str(k), image, value) for k, value in enumerate(values)]
    samples.append(Sample("5", image, {}, "has no image"))
    done = convert_job(job(odd_folder, [], samples=samples, types=parse_fields({"x": "int", "label": "int"})))
    assert done.kept == [0] and done.labels == [1] and done.fields[0].row.tolist() == (2, 1)
    assert [why for _, why in done.refused] == [
        "field `x` must be int, got 2.5: it is not a whole number",
        "label 'c' is none of the 2 classes",
        "label 2 must be from 0 to 1; if labels count from 1, put a name for 0 before the other 2 in `classes`",
        "has no label; its fields are x",
        "has no image",
    ]


def test_a_file_that_changes_meanwhile_is_told(odd_folder: Path) -> None:
    with pytest.raises(BadDataset, match=r"0\.jpg: changed while"):
        convert_job(job(odd_folder, [], samples=[Sample("0", FileRange(str(odd_folder / "b/0.jpg"), 7), {"label": 0})]))


def test_an_image_is_not_left_out_because_too_many_files_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"image")
    sample = Sample("a", FileRange.whole(str(path)), {})

    def no_file(*_: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_file)
        with pytest.raises(TooManyOpenFiles, match=r"a\.jpg cannot be opened: too many open files; allow more"):
            read_image(sample)
    assert read_image(sample) == b"image"
