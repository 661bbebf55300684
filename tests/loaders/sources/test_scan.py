from __future__ import annotations

import os
from pathlib import Path

import pytest

from loaders.sources.scan import scan


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_same_samples_in_the_same_order_as_torchvision(tmp_path: Path) -> None:
    folder = pytest.importorskip("torchvision.datasets").ImageFolder
    touch(
        tmp_path, "b/2.JPEG", "b/10.jpg", "b/sub/deep/1.PnG", "b/sub.x/1.webp", "b/Z.bmp", "a.b/x.TIFF", "a/x.ppm",
        "a/notes.txt", "a/x.jpg.bak", "loose.jpg", "b/ü.jpg", "B/1.tif",
    )  # fmt: skip
    os.symlink(tmp_path / "a", tmp_path / "b" / "linked")
    theirs = folder(os.fspath(tmp_path))
    ours = scan(tmp_path)
    assert ours.classes == theirs.classes
    assert list(zip([os.path.join(ours.root, name) for name in ours.names], ours.labels, strict=True)) == theirs.samples
    assert len(ours.names) == 10


def test_a_split_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "val/a/2.jpg")
    assert scan(tmp_path, "val").names == ["a/2.jpg"]
    with pytest.raises(FileNotFoundError, match="no sub-folder `test`"):
        scan(tmp_path, "test")


def test_splits_are_not_taken_for_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "val/a/2.jpg")
    with pytest.raises(ValueError, match=r"splits \(train, val\)"):
        scan(tmp_path)


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "test/2.jpg")  # steam trains and test cards
    assert scan(tmp_path).classes == ["test", "train"]


def test_a_flat_folder_is_one_class(tmp_path: Path) -> None:
    touch(tmp_path / "cats", "2.jpg", "1.jpg")
    assert scan(tmp_path / "cats") == (str(tmp_path / "cats"), ["cats"], ["1.jpg", "2.jpg"], [0, 0])


def test_a_working_folder_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "x.beton.partial/journal", "b.partial/2.jpg")
    assert scan(tmp_path).classes == ["a", "b.partial"]


def test_what_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        scan(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="neither class folders nor images"):
        scan(tmp_path)
    touch(tmp_path, "a/1.jpg", "b/1.txt")
    with pytest.raises(FileNotFoundError, match="b: holds no image"):
        scan(tmp_path)
    with pytest.raises(NotADirectoryError, match="is a file"):
        scan(tmp_path / "a" / "1.jpg")
