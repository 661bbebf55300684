from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders.errors import BadDataset
from loaders.sources import open_dataset
from loaders.sources.folder import Folder


def test_a_folder_is_a_dataset(jpeg_folder: Path) -> None:
    with open_dataset(jpeg_folder / "train") as dataset:
        assert isinstance(dataset, Folder)
        assert (len(dataset), dataset.fd, dataset.ratios) == (24, -1, (1.0,))
        assert dataset.classes == ["class000", "class001", "class002"]
        indices = np.array([20, 0, 3, 3])
        entries = dataset.entries(indices)
        assert entries.shape == (4, 1)
        for index, entry in zip(indices, entries[:, 0], strict=True):
            path = os.path.join(dataset.path, dataset.name(int(index)))
            assert ctypes.string_at(int(entry["path"])) == os.fsencode(path)
            with Image.open(path) as image:
                assert (entry["width"], entry["height"]) == image.size
            assert (entry["offset"], entry["size"], entry["rows"]) == (0, 0, 0)
            assert dataset.read(int(index)) == Path(path).read_bytes()
        assert dataset.labels(indices).tolist() == [2, 0, 0, 0]


def test_headers_are_read_once(jpeg_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loaders.sources import folder as module

    asked: list[int] = []
    real = module.native.peek_files
    monkeypatch.setattr(module.native, "peek_files", lambda paths, pool: asked.append(len(paths)) or real(paths, pool))
    with Folder(jpeg_folder / "train") as dataset:
        for indices in ([5, 5, 6], [5, 6, 7], [7, 5]):
            dataset.entries(indices)
    assert asked == [2, 1]


def test_odd_files_have_a_size_too(odd_folder: Path) -> None:
    with Folder(odd_folder, workers=1) as dataset:
        entries = dataset.entries(np.arange(len(dataset)))[:, 0]
        sizes = {dataset.name(k): (int(e["width"]), int(e["height"])) for k, e in enumerate(entries)}
    for name in ("grey", "progressive", "cmyk", "png", "rgba", "palette", "deep", "exif"):
        assert sizes[f"a/{name}.JPEG"] == (160, 120), name
    for name in ("tiny", "empty", "text"):
        assert sizes[f"a/{name}.JPEG"] == (1, 1), name


def test_indices_outside_and_files_gone_are_told(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.link(next(jpeg_folder.rglob("*.jpg")), tmp_path / "a" / "1.jpg")
    with Folder(tmp_path) as dataset:
        with pytest.raises(IndexError, match="from 0 to 0, got 1"):
            dataset.entries([1])
        with pytest.raises(IndexError, match="level 0 only, got 1"):
            dataset.read(0, 1)
        (tmp_path / "a" / "1.jpg").unlink()
        with pytest.raises(BadDataset, match=r"1\.jpg: No such file"):
            dataset.read(0)
        assert dataset.entries([0])["width"].item() == 1


def test_names_that_are_not_utf8(jpeg_folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xe9.jpg")
    (tmp_path / "a").mkdir()
    os.link(next(jpeg_folder.rglob("*.jpg")), tmp_path / "a" / name)
    with Folder(tmp_path) as dataset:
        assert dataset.name(0) == f"a/{name}"
        assert dataset.entries([0])["width"].item() > 1


def test_the_label_is_its_only_field(jpeg_folder: Path) -> None:
    with Folder(jpeg_folder / "train") as dataset:
        assert list(dataset.fields) == ["label"] and str(dataset.fields["label"]) == "int"
        assert np.array_equal(dataset.read_field("label", [0, 9, 23]), [0, 1, 2])
        assert np.bincount(dataset.labels(range(24))).tolist() == [8, 8, 8]
        with pytest.raises(ValueError, match="has the fields label, got 'name'"):
            dataset.read_field("name", [0])
