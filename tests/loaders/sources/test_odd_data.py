"""Data as people have them: odd labels, tables of other programs, shards of other layouts, foreign image formats."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import Loader, convert, open_dataset
from loaders.conversion import verify
from loaders.errors import BadDataset, BadSample
from tests.images import jpeg, picture
from tests.loaders.conftest import saved

JPEG = jpeg(picture(60, 40), "4:2:0")


def labels(src: Any, out: Path, **options: Any) -> tuple[list[int], list[str]]:
    """Labels and classes of the converted source."""
    convert(src, out, workers=1, **options)
    with open_dataset(out) as dataset:
        return dataset.labels(range(len(dataset))).tolist(), dataset.classes


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    for name in ("a b,ü.JPG", "b.jpg"):
        (folder / name).write_bytes(JPEG)
    (folder / "x.csv").write_bytes(text.encode(encoding))
    return folder / "x.csv"


def tar(folder: Path, **members: bytes) -> Path:
    """A shard with one key; `_` in a name stands for a dot."""
    with tarfile.open(folder / "x.tar", "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(f"0001.{name.replace('_', '.')}")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return folder / "x.tar"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('path,label\n"a b,ü.JPG",cat\nb.jpg,dog\n', "utf-8-sig"),
        ('path,label\r\n"a b,ü.JPG",cat\r\nb.jpg,dog\r\n', "utf-8"),
        ('path, label\n"a b,ü.JPG", cat\nb.jpg, dog\n\n', "utf-8"),
    ],
    ids=["byte order mark", "Windows lines", "blanks"],
)
def test_tables_of_other_programs(tmp_path: Path, text: str, encoding: str) -> None:
    assert labels(table(tmp_path, text, encoding), tmp_path / "x.beton") == ([0, 1], ["cat", "dog"])


@pytest.mark.parametrize(
    ("text", "encoding", "error", "told"),
    [
        ("path,label\nb.jpg,für\n", "latin-1", BadDataset, "is no UTF-8.*save it in that encoding"),
        ("path;label\nb.jpg;cat\n", "utf-8", ValueError, "separated by commas"),
        ("b.jpg,0\nb.jpg,1\n", "utf-8", ValueError, "first line of a .csv file names its columns"),
        ("path,label\nb.jpg,\nb.jpg,dog\n", "utf-8", BadSample, "its label is empty"),
        ("path,label\nzzz.jpg,cat\n", "utf-8", BadSample, r"zzz\.jpg.*No such file"),
        ("", "utf-8", BadDataset, "at least one row with an image.s path, got none"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, encoding: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        convert(table(tmp_path, text, encoding), tmp_path / "x.beton", workers=1)


def test_true_and_false_are_labels(tmp_path: Path) -> None:
    assert labels([(JPEG, True), (JPEG, np.bool_(False))], tmp_path / "x.beton") == ([1, 0], ["0", "1"])


@pytest.mark.parametrize(("label", "told"), [(None, "missing"), ([0, 1], "--fields label:json"), (0.5, "--fields")])
def test_labels_that_are_no_class(tmp_path: Path, label: Any, told: str) -> None:
    with pytest.raises(BadSample, match=told):
        convert([{"image": JPEG, "label": label}], tmp_path / "x.beton", fields={"label": "int"}, workers=1)


def test_images_without_any_target(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for k in range(3):
            info = tarfile.TarInfo(f"{k}.jpg")
            info.size = len(JPEG)
            file.addfile(info, io.BytesIO(JPEG))
    convert(tmp_path / "x.tar", tmp_path / "x.beton", workers=1)
    assert verify(tmp_path / "x.beton") == []
    (batch,) = Loader(tmp_path / "x.beton", 3, resolution=32, fields=("image",), num_workers=1)
    assert batch[0].shape == (3, 3, 32, 32)
    with pytest.raises(ValueError, match="no class label to balance"):
        Loader(tmp_path / "x.beton", 3, fields=("image",), weights="balanced", num_workers=1)


def test_dates_become_text(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    columns = {"image": [JPEG], "label": [0], "when": pa.array([1], pa.timestamp("s"))}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    convert(tmp_path / "x.parquet", tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.read_field("when", [0]) == ["1970-01-01T00:00:01"]


def test_labels_deep_in_json(tmp_path: Path) -> None:
    src = tar(tmp_path, jpg=JPEG, json=json.dumps({"annotation": {"label": 2}}).encode())
    assert labels(src, tmp_path / "x.beton", label_column="annotation.label")[0] == [2]
    with pytest.raises(ValueError, match=r"must be an entry of its \.json, got 'annotation\.kind'; it has annotation"):
        convert(src, tmp_path / "y.beton", label_column="annotation.kind")


def test_several_images_of_one_key(tmp_path: Path) -> None:
    mask = saved(Image.fromarray(np.zeros((40, 60), np.uint8)), "PNG")
    src = tar(tmp_path, img_jpg=JPEG, seg_png=mask, cls=b"1")
    with pytest.raises(BadSample, match=r"has images img\.jpg, seg\.png; name one by image_column"):
        convert(src, tmp_path / "x.beton", workers=1)
    assert labels(src, tmp_path / "x.beton", image_column="img.jpg") == ([1], ["0", "1"])
    fields = {"label": "int", "seg.png": "mask"}
    assert labels(src, tmp_path / "y.beton", fields=fields) == ([1], ["0", "1"])


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\xff\x0a\x00\x00", "JPEG XL"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_formats_that_pillow_lacks_are_named(tmp_path: Path, data: bytes, name: str) -> None:
    with pytest.raises(BadSample, match=f"{name}, which this Pillow cannot read"):
        convert([(data, 0)], tmp_path / "x.beton", workers=1)


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, form: str) -> None:
    first = Image.fromarray(picture(60, 40))
    data = saved(first, form, save_all=True, append_images=[Image.new("RGB", (60, 40))] * 2)
    convert([(data, 0)], tmp_path / "x.beton", workers=1)
    with Loader(tmp_path / "x.beton", 1, resolution=32, train=False, dtype="uint8", num_workers=1) as loader:
        assert next(iter(loader))[0].float().std() > 10


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for codec in ("JPEG", "PNG"):
        convert([(saved(Image.fromarray(picture(60, 40)), codec, exif=exif), 0)], tmp_path / "x.beton", workers=1)
        with open_dataset(tmp_path / "x.beton") as dataset:
            entry = dataset.entries([0])[0, 0]
            assert (entry["width"], entry["height"]) == (60, 40)
