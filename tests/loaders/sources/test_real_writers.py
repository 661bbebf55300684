"""Files that the formats' own libraries write."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import convert, open_dataset


@pytest.fixture(scope="module")
def files(jpeg_folder: Path) -> list[Path]:
    return sorted((jpeg_folder / "val").rglob("*.jpg"))


def check(out: Path, files: list[Path], labels: list[int]) -> None:
    with open_dataset(out) as dataset:
        assert dataset.labels(range(len(files))).tolist() == labels
        for k, path in enumerate(files):
            with Image.open(io.BytesIO(dataset.read(k))) as ours, Image.open(path) as theirs:
                assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_shards_by_webdataset(files: list[Path], tmp_path: Path) -> None:
    wds: Any = pytest.importorskip("webdataset")
    with wds.ShardWriter(str(tmp_path / "train-%06d.tar"), maxcount=4, verbose=0) as writer:
        for k, path in enumerate(files):
            writer.write({"__key__": f"{k:04d}", "jpg": path.read_bytes(), "cls": k % 3, "json": {"k": k}})
    convert(str(tmp_path / "train-{000000..000001}.tar"), tmp_path / "x.beton", workers=1)
    check(tmp_path / "x.beton", files, [k % 3 for k in range(6)])
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.read_field("json", [5]) == [{"k": 5}] and dataset.classes == ["0", "1", "2"]


def test_records_by_tfrecord(files: list[Path], tmp_path: Path) -> None:
    writers: Any = pytest.importorskip("tfrecord.writer")
    writer = writers.TFRecordWriter(str(tmp_path / "train-00000-of-00001"))
    for k, path in enumerate(files):
        features = {
            "image/encoded": (path.read_bytes(), "byte"),
            "image/filename": (path.name.encode(), "byte"),
            "image/class/label": (k % 3, "int"),
            "image/class/text": (b"cat", "byte"),
            "offset": (-k, "int"),
            "box": ([k / 2, 1.0], "float"),
        }
        writer.write(features)
    writer.close()
    fields: dict[str, Any] = {"label": "int", "offset": "int", "box": ("float32", 2), "text": "bytes"}
    convert(tmp_path / "train-*", tmp_path / "x.beton", fields=fields, classes=["a", "b", "c"], workers=1)
    check(tmp_path / "x.beton", files, [k % 3 for k in range(6)])
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert np.asarray(dataset.read_field("offset", [5])).tolist() == [-5]
        assert np.asarray(dataset.read_field("box", [3])).tolist() == [[1.5, 1.0]]
        assert dataset.read_field("text", [0]) == [b"cat"] and files[0].name in dataset.name(0)


@pytest.mark.parametrize("kind", ["disk", "splits", "parquet"])
def test_data_sets_by_datasets(files: list[Path], tmp_path: Path, kind: str) -> None:
    hf: Any = pytest.importorskip("datasets")
    hf.disable_progress_bars()
    features = hf.Features(
        {"picture": hf.Image(), "kind": hf.ClassLabel(names=["zebra", "ant"]), "size": hf.Value("float32")}
    )
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in files]
    columns = {"picture": images, "kind": [k % 2 for k in range(6)], "size": [k / 2 for k in range(6)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = hf.Dataset.from_dict(columns, features=features)
        options = {}
        if kind == "disk":
            data.save_to_disk(tmp_path / "data", num_shards=2)
        elif kind == "splits":
            hf.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(tmp_path / "data")
            options["split"] = "train"
        else:
            (tmp_path / "data").mkdir()
            data.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    convert(tmp_path / "data", tmp_path / "x.beton", workers=1, **options)
    check(tmp_path / "x.beton", files, [k % 2 for k in range(6)])
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.classes == ["zebra", "ant"] and list(dataset.fields) == ["label", "size"]
        assert np.asarray(dataset.read_field("size", [3])).tolist() == [1.5]
        assert dataset.name(0) == f"row 0 ({files[0].name})"
