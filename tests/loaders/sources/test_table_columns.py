from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import convert, open_dataset

parquet: Any = pytest.importorskip("pyarrow.parquet")
pa: Any = pytest.importorskip("pyarrow")
IMAGE = {"_type": "Image"}


def png(side: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 7).save(file, "PNG")
    return file.getvalue()


def images(*files: bytes | None) -> Any:
    cells = [None if file is None else {"bytes": file, "path": None} for file in files]
    return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def named(*names: str) -> dict[str, Any]:
    return {"_type": "ClassLabel", "names": list(names)}


def table(path: Path, columns: dict[str, Any], features: dict[str, Any]) -> Path:
    """A Parquet file as the `datasets` library writes it."""
    described = json.dumps({"info": {"features": features}})
    parquet.write_table(pa.table(columns).replace_schema_metadata({"huggingface": described}), path)
    return path


def test_no_label_is_chosen_among_several(tmp_path: Path) -> None:
    columns = {"image": images(png(8), png(9)), "fine": pa.array([1, 0]), "coarse": pa.array([2, 1])}
    features = {"image": IMAGE, "fine": named("a", "b"), "coarse": named("x", "y", "z")}
    path, out = table(tmp_path / "x.parquet", columns, features), tmp_path / "x.beton"
    with pytest.raises(ValueError, match=r"any of the columns fine, coarse may be the label; .*`label_column`"):
        convert(path, out, workers=1)
    convert(path, out, workers=1, label_column="coarse")
    with open_dataset(out) as dataset:
        assert dataset.labels([0, 1]).tolist() == [2, 1] and dataset.classes == ["x", "y", "z"]
        assert list(dataset.fields) == ["label", "fine"]
    convert(path, out, workers=1, fields={"coarse": "int", "fine": "int"})
    with open_dataset(out) as dataset:
        assert np.asarray(dataset.read_field("coarse", [0, 1])).tolist() == [2, 1]


def test_a_number_called_label_is_as_good_as_a_class_label(tmp_path: Path) -> None:
    columns = {"image": images(png(8)), "kind": pa.array([1]), "label": pa.array([5])}
    path = table(tmp_path / "x.parquet", columns, {"image": IMAGE, "kind": named("a", "b")})
    with pytest.raises(ValueError, match=r"any of the columns kind, label may be the label"):
        convert(path, tmp_path / "x.beton", workers=1)
    columns["label"] = pa.array([[5]])  # no class
    path = table(tmp_path / "x.parquet", columns, {"image": IMAGE, "kind": named("a", "b")})
    convert(path, tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.labels([0]).tolist() == [1]


def test_no_image_is_chosen_among_several(tmp_path: Path) -> None:
    columns = {"front": images(png(8)), "back": images(png(9)), "label": pa.array([0])}
    path = table(tmp_path / "x.parquet", columns, {"front": IMAGE, "back": IMAGE})
    with pytest.raises(ValueError, match=r"any of the columns front, back may be the image; .*`image_column`"):
        convert(path, tmp_path / "x.beton", workers=1)
    convert(path, tmp_path / "x.beton", workers=1, image_column="back")
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert list(dataset.fields) == ["label"] and dataset.entries([0])[0, 0]["width"] == 9


def test_further_images_are_masks(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(png(9, "L"))
    masks = pa.array([{"bytes": png(8, "L"), "path": None}, {"bytes": None, "path": "m.png"}])
    columns = {"image": images(png(8), png(9)), "mask": masks}
    path = table(tmp_path / "x.parquet", columns, {"image": IMAGE, "mask": IMAGE})
    convert(path, tmp_path / "x.beton", workers=1, fields={"mask": "mask"})
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.read_field("mask", [0, 1]) == [png(8, "L"), png(9, "L")]
    convert(path, tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert not dataset.fields


def test_what_no_field_can_hold_is_left_out(tmp_path: Path) -> None:
    sounds = pa.array([[{"bytes": b"x", "path": None}]])
    path = table(tmp_path / "x.parquet", {"image": images(png(8)), "sounds": sounds, "raw": pa.array([b"y"])}, {})
    convert(path, tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert list(dataset.fields) == ["raw"] and dataset.read_field("raw", [0]) == [b"y"]


def test_lists_of_pixels_are_no_images(tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", {"image": pa.array([[[1, 2], [3, 4]]])}, {})
    with pytest.raises(
        ValueError, match=r"must hold bytes, paths or the type `Image`.*'image' holds list<.*cast_column"
    ):
        convert(path, tmp_path / "x.beton", workers=1)


def test_lists_of_labels_are_a_field(tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", {"image": images(png(8), png(9)), "labels": pa.array([[1, 2], []])}, {})
    convert(path, tmp_path / "x.beton", workers=1)
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.label_field is None and dataset.read_field("labels", [0, 1]) == [[1, 2], []]
