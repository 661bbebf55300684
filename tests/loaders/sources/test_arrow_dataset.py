from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders import Loader, convert, open_dataset
from loaders.errors import BadSample
from loaders.sources.source_dataset import SourceDataset

hf: Any = pytest.importorskip("datasets")
CLASSES = ["class000", "class001", "class002"]


@pytest.fixture(scope="module")
def files(jpeg_folder: Path) -> list[Path]:
    return sorted((jpeg_folder / "val").rglob("*.jpg"))


@pytest.fixture(scope="module")
def rows(files: list[Path]) -> Any:
    """Six rows: three JPEGs as bytes and three by their paths."""
    hf.disable_progress_bars()
    images = [{"bytes": path.read_bytes() if k % 2 else None, "path": str(path)} for k, path in enumerate(files)]
    columns = {"photo": images, "kind": [k // 2 for k in range(6)], "size": [k / 2 for k in range(6)]}
    features = {"photo": hf.Image(), "kind": hf.ClassLabel(names=CLASSES), "size": hf.Value("float32")}
    return hf.Dataset.from_dict(columns, features=hf.Features(features))


def held(data: Any, **options: Any) -> tuple[list[bytes], list[int]]:
    """The stored image and the label of each sample."""
    with open_dataset(data, **options) as dataset:
        assert isinstance(dataset, SourceDataset)
        return [dataset.read(k) for k in range(len(dataset))], dataset.labels(range(len(dataset))).tolist()


@pytest.mark.parametrize("wrong", [-5, 1 << 30])
@pytest.mark.parametrize("shuffled", [False, True])
def test_damaged_offsets_are_not_followed(files: list[Path], tmp_path: Path, wrong: int, shuffled: bool) -> None:
    """They lead out of the file, where pyarrow reads all the same, and crashes."""
    hf.disable_progress_bars()
    images = [path.read_bytes() for path in files]
    columns = {"image": [{"bytes": data, "path": None} for data in images], "label": list(range(6))}
    features = hf.Features({"image": hf.Image(), "label": hf.Value("int64")})
    hf.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "rows")
    (path,) = (tmp_path / "rows").glob("*.arrow")
    offsets = np.cumsum([0, *map(len, images)], dtype="<i4")
    damaged = offsets.copy()
    damaged[4] = wrong
    path.write_bytes(path.read_bytes().replace(offsets.tobytes(), damaged.tobytes()))
    stored = hf.load_from_disk(tmp_path / "rows")
    data = stored.shuffle(seed=0) if shuffled else stored
    with Loader(data, batch_size=1, resolution=32) as loader, pytest.raises(BadSample, match=r"sample . .*offset"):
        list(loader)


def test_images_are_delivered_as_they_are_stored(rows: Any, files: list[Path], tmp_path: Path) -> None:
    stored = [path.read_bytes() for path in files]
    assert held(rows) == (stored, [0, 0, 1, 1, 2, 2])
    summary = convert(rows, tmp_path / "x.beton", workers=1)
    assert summary.images == 6 and summary.changed == []
    with open_dataset(tmp_path / "x.beton") as dataset, open_dataset(rows) as direct:
        assert dataset.classes == direct.classes == CLASSES and list(dataset.fields) == ["label", "size"]
        assert np.asarray(dataset.read_field("size", [3])).tolist() == [1.5]
        assert dataset.name(4) == direct.name(4) == f"row 4 ({files[4].name})"


@pytest.mark.parametrize("how", ["numpy", "torch", "columns", "transform", "undecoded", "pickled"])
def test_the_format_of_the_rows_does_not_matter(rows: Any, how: str) -> None:
    changed = {
        "numpy": lambda: rows.with_format("numpy"),
        "torch": lambda: rows.with_format("torch"),
        "columns": lambda: rows.with_format(columns=["size"]),
        "transform": lambda: rows.with_transform(lambda batch: {"pixels": [torch.zeros(3) for _ in batch["kind"]]}),
        "undecoded": lambda: rows.cast_column("photo", hf.Image(decode=False)),
        "pickled": lambda: pickle.loads(pickle.dumps(rows)),
    }[how]()
    if how == "transform":
        with pytest.warns(UserWarning, match="`transform` of this Dataset is unused, the images that it stores are"):
            assert held(changed) == held(rows)
    else:
        assert held(changed) == held(rows)


def test_rows_that_were_selected_or_shuffled(rows: Any) -> None:
    images, labels = held(rows)
    chosen = [5, 0, 5, 2]
    assert held(rows.select(chosen)) == ([images[k] for k in chosen], [labels[k] for k in chosen])
    mixed = rows.add_column("at", list(range(6))).shuffle(seed=3)
    assert held(mixed) == ([images[k] for k in mixed["at"]], [labels[k] for k in mixed["at"]])
    assert held(torch.utils.data.Subset(rows, chosen)) == held(rows.select(chosen))
    joined: Any = torch.utils.data.ConcatDataset([rows, rows.select([3])])
    assert held(joined) == ([*images, images[3]], [*labels, labels[3]])


def test_a_data_set_that_was_saved(rows: Any, tmp_path: Path) -> None:
    rows.save_to_disk(tmp_path / "disk", num_shards=2)
    rows.to_parquet(tmp_path / "x.parquet")
    cache = str(tmp_path / "cache")
    for read in (
        hf.load_from_disk(tmp_path / "disk"),
        hf.load_dataset("parquet", data_files=str(tmp_path / "x.parquet"), split="train", cache_dir=cache),
    ):
        assert held(read) == held(rows)


def test_an_image_folder_by_the_library(jpeg_folder: Path, tmp_path: Path) -> None:
    splits = hf.load_dataset("imagefolder", data_dir=str(jpeg_folder), cache_dir=str(tmp_path))
    options: dict[str, Any] = {"batch_size": 8, "resolution": 32, "num_workers": 1, "dtype": "uint8"}
    with Loader(splits["train"], **options) as ours, Loader(jpeg_folder / "train", **options) as theirs:
        assert ours.classes == theirs.classes
        for (images, labels), (others, expected) in zip(ours, theirs, strict=True):
            assert torch.equal(images, others) and torch.equal(labels, expected)
    with pytest.raises(ValueError, match=r"DatasetDict: .*got a mapping with .*train.*; give one of .*dataset\['"):
        Loader(splits, **options)
    with pytest.raises(ValueError, match=r"IterableDataset: .*got a stream; load the data set without `streaming="):
        convert(splits["train"].to_iterable_dataset(), tmp_path / "x.beton")


def test_no_label_is_chosen_among_several(rows: Any) -> None:
    several = rows.add_column("odd", [k % 2 for k in range(6)]).cast_column("odd", hf.ClassLabel(names=["no", "yes"]))
    with pytest.raises(ValueError, match=r"Dataset: any of the columns kind, odd may be the label; .*`label_field`"):
        open_dataset(several)
    with open_dataset(several, label_field="odd") as dataset:
        assert dataset.classes == ["no", "yes"] and list(dataset.fields) == ["label", "kind", "size"]
        assert dataset.labels(range(6)).tolist() == [0, 1] * 3
        assert np.asarray(dataset.read_field("kind", [5])).tolist() == [2]
    with open_dataset(several, label_field=False) as dataset:
        assert dataset.label_field is None and list(dataset.fields) == ["kind", "size", "odd"]
    assert held(several.rename_column("kind", "label")) == held(rows)
    with pytest.raises(ValueError, match="has the columns photo, kind, size, odd, got 'colour'"):
        open_dataset(several, label_field="colour")


def test_no_image_is_chosen_among_several(rows: Any) -> None:
    several = rows.add_column("other", rows.with_format("arrow")[:].column("photo").to_pylist())
    several = several.cast_column("other", hf.Image())
    with pytest.raises(ValueError, match=r"any of the columns photo, other may be the image; .*rename_column"):
        open_dataset(several)
    assert held(several.rename_column("other", "image")) == held(rows)


def test_labels_that_are_names(rows: Any) -> None:
    named = rows.remove_columns("kind").add_column("label", ["b", "a", "c", "a", "b ", "b"])
    with open_dataset(named) as dataset:
        assert dataset.classes == ["a", "b", "c"] and dataset.labels(range(6)).tolist() == [1, 0, 2, 0, 1, 1]


def test_labels_that_are_no_classes(rows: Any) -> None:
    bare = rows.remove_columns(["kind", "size"])
    for name, labels, field, wanted in (
        ("label", [0.5, 1.0, 2.0, 3.0, 4.0, None], "label", [0.5, 1.0]),
        ("labels", [[0], [0, 1], [], [2], [1], [0]], "labels", [[0], [0, 1]]),
        ("label", [[0.0, 1.0]] * 6, "label", [[0, 1]] * 2),
    ):
        with open_dataset(bare.add_column(name, labels)) as dataset:
            assert dataset.label_field is None and list(dataset.fields) == [field]
            assert np.asarray(dataset.read_field(field, [0, 1]), object).tolist() == wanted
    with open_dataset(bare.add_column("label", [0.0, 2.0, 1.0, 1.0, 0.0, 2.0])) as dataset:
        assert dataset.labels(range(6)).tolist() == [0, 2, 1, 1, 0, 2]


def test_classes_are_mapped_by_name(rows: Any) -> None:
    with open_dataset(rows, classes=["new", *reversed(CLASSES)]) as dataset:
        assert dataset.labels(range(6)).tolist() == [3, 3, 2, 2, 1, 1]


def test_rows_that_cannot_be_read_are_named() -> None:
    broken = hf.Dataset.from_dict({"image": [None, "gone.jpg"], "label": [0, -1]}).cast_column("image", hf.Image())
    options: dict[str, Any] = {"train": False, "batch_size": 1, "resolution": 32, "num_workers": 1}
    with pytest.raises(BadSample, match=r"sample 0 \(row 0\) .*has no image"), Loader(broken, **options) as loader:
        next(iter(loader))
    with open_dataset(broken) as dataset, pytest.raises(Exception, match=r"no such file: gone\.jpg"):
        dataset.read(1)


def test_a_subclass_with_rows_of_its_own(rows: Any) -> None:
    class Doubled(hf.Dataset):
        def __getitem__(self, key: Any) -> Any:
            return {"image": np.full((4, 4, 3), 2 * key, np.uint8), "label": key}

    data = Doubled(rows.data, info=rows.info)
    with open_dataset(data) as dataset:
        assert dataset.labels(range(6)).tolist() == list(range(6)) and list(dataset.fields) == ["label"]
