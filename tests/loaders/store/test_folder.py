from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders.errors import BadDataset
from loaders.store import open_store
from loaders.store.folder import Folder


def test_a_folder_is_a_store(jpeg_folder: Path) -> None:
    with open_store(jpeg_folder / "train") as store:
        assert isinstance(store, Folder)
        assert (len(store), store.fd, store.ratios) == (24, -1, (1.0,))
        assert store.classes == ["class000", "class001", "class002"]
        indices = np.array([20, 0, 3, 3])
        entries = store.entries(indices)
        assert entries.shape == (4, 1)
        for index, entry in zip(indices, entries[:, 0], strict=True):
            path = os.path.join(store.path, store.name(int(index)))
            assert ctypes.string_at(int(entry["path"])) == os.fsencode(path)
            with Image.open(path) as image:
                assert (entry["width"], entry["height"]) == image.size
            assert (entry["offset"], entry["size"], entry["rows"]) == (0, 0, 0)
            assert store.read(int(index)) == Path(path).read_bytes()
        assert store.labels(indices).tolist() == [2, 0, 0, 0]


def test_headers_are_read_once(jpeg_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loaders.store import folder as module

    asked: list[int] = []
    real = module.native.peek_files
    monkeypatch.setattr(module.native, "peek_files", lambda paths, pool: asked.append(len(paths)) or real(paths, pool))
    with Folder(jpeg_folder / "train") as store:
        for indices in ([5, 5, 6], [5, 6, 7], [7, 5]):
            store.entries(indices)
    assert asked == [2, 1]


def test_odd_files_have_a_size_too(odd_folder: Path) -> None:
    with Folder(odd_folder, workers=1) as store:
        entries = store.entries(np.arange(len(store)))[:, 0]
        sizes = {store.name(k): (int(e["width"]), int(e["height"])) for k, e in enumerate(entries)}
    for name in ("grey", "progressive", "cmyk", "png", "rgba", "palette", "deep", "exif"):
        assert sizes[f"a/{name}.JPEG"] == (160, 120), name
    for name in ("tiny", "empty", "text"):
        assert sizes[f"a/{name}.JPEG"] == (1, 1), name


def test_indices_outside_and_files_gone_are_told(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.link(next(jpeg_folder.rglob("*.jpg")), tmp_path / "a" / "1.jpg")
    with Folder(tmp_path) as store:
        with pytest.raises(IndexError, match="from 0 to 0, got 1"):
            store.entries([1])
        with pytest.raises(IndexError, match="level 0 only, got 1"):
            store.read(0, 1)
        (tmp_path / "a" / "1.jpg").unlink()
        with pytest.raises(BadDataset, match=r"1\.jpg: No such file"):
            store.read(0)
        assert store.entries([0])["width"].item() == 1


def test_names_that_are_not_utf8(jpeg_folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xe9.jpg")
    (tmp_path / "a").mkdir()
    os.link(next(jpeg_folder.rglob("*.jpg")), tmp_path / "a" / name)
    with Folder(tmp_path) as store:
        assert store.name(0) == f"a/{name}"
        assert store.entries([0])["width"].item() > 1
