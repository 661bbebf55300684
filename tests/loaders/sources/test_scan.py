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
    with pytest.raises(ValueError, match=r"splits \(train, val\), .* or by `split` \(--split train\)"):
        scan(tmp_path)
    touch(tmp_path, "test/3.jpg")  # as in ILSVRC/Data/CLS-LOC
    with pytest.raises(ValueError, match=r"splits \(test, train, val\), .*/train, or by"):
        scan(tmp_path)


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "test/2.jpg")  # steam trains and test cards
    assert scan(tmp_path).classes == ["test", "train"]


def test_a_flat_folder_is_one_class(tmp_path: Path) -> None:
    touch(tmp_path / "cats", "2.jpg", "1.jpg")
    assert scan(tmp_path / "cats")[:4] == (str(tmp_path / "cats"), ["cats"], ["1.jpg", "2.jpg"], [0, 0])


def test_a_working_folder_is_no_class(tmp_path: Path) -> None:
    touch(
        tmp_path, "a/1.jpg", "x.beton.partial/journal", "b.partial/2.jpg", "y.beton.partial/rest", "z.partial/journal"
    )
    assert scan(tmp_path).classes == ["a", "b.partial"]


def test_what_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        scan(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="neither class folders nor images"):
        scan(tmp_path)
    touch(tmp_path, "a/1.jpg", "b/1.txt")
    with pytest.raises(FileNotFoundError, match=r"b: holds no image"):
        scan(tmp_path)
    with pytest.raises(NotADirectoryError, match="is a file"):
        scan(tmp_path / "a" / "1.jpg")


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    touch(tmp_path, ".ipynb_checkpoints/1.jpg", "a/1.jpg", "a/.ipynb_checkpoints/1.jpg", "a/._1.jpg", "a/.DS_Store")
    assert scan(tmp_path)[:4] == (str(tmp_path), ["a"], ["a/1.jpg"], [0])


def test_names_from_anywhere(tmp_path: Path) -> None:
    names = ["a b/x y.JPG", "a b/x y.jpg", "a b/Ж中.Jpeg", "a b/z'\".PNG", "ü/-1.jpg", "ü/0.jpg "]
    touch(tmp_path, *names)
    assert scan(tmp_path).names == [*sorted(names[:4]), "ü/-1.jpg"]


def test_the_same_name_in_two_classes(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "b/c/1.jpg")
    assert scan(tmp_path).names == ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]
    assert scan(tmp_path).labels == [0, 1, 1]


def test_empty_classes_keep_their_label(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/notes.txt", "c/1.jpg")
    with pytest.raises(FileNotFoundError, match=r"b: holds no image .* allow_empty=True .*change the labels"):
        scan(tmp_path)
    found = scan(tmp_path, allow_empty=True)
    assert (found.classes, found.labels) == (["a", "b", "c"], [0, 2])
    found = scan(tmp_path, classes=["c", "b", "a", "d"])  # the numbers do not depend on the folders
    assert (found.classes, found.labels) == (["c", "b", "a", "d"], [2, 0])
    touch(tmp_path / "none", "a/x.txt")
    with pytest.raises(FileNotFoundError, match="none of its 1 class folders holds an image"):
        scan(tmp_path / "none", allow_empty=True)


def test_given_classes_fix_the_labels(tmp_path: Path) -> None:
    touch(tmp_path, "b/1.jpg", "c/1.jpg")
    found = scan(tmp_path, classes=["c", "a", "b"])
    assert (found.classes, found.names, found.labels) == (["c", "a", "b"], ["b/1.jpg", "c/1.jpg"], [2, 0])
    with pytest.raises(ValueError, match=r"'c' is not among the 1 given classes \(1 such folders\); add it"):
        scan(tmp_path, classes=["b"])
    with pytest.raises(ValueError, match="must name each class once, got 3 names, 2 different"):
        scan(tmp_path, classes=["b", "c", "c"])
