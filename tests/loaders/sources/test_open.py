from __future__ import annotations

import errno
import gc
import os
import shutil
from pathlib import Path

import pytest

from loaders.beton.fields import FieldType
from loaders.conversion import extract
from loaders.errors import BadDataset
from loaders.sources import open_dataset, open_source
from loaders.sources.folder import Folder
from loaders.sources.pyramid import Pyramid
from tests.loaders.ffcv_files import without_index


def test_each_kind_is_told_apart(pyramid: Path, jpeg_folder: Path) -> None:
    with open_dataset(pyramid) as beton, open_dataset(str(jpeg_folder / "val")) as folder:
        assert isinstance(beton, Pyramid) and isinstance(folder, Folder)


@pytest.mark.parametrize("name", ["x.json", "x.csv", "x.beton"])
def test_a_folder_named_like_a_file_is_a_folder(jpeg_folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(jpeg_folder / "val", tmp_path / name)
    with open_dataset(tmp_path / name) as folder:
        assert isinstance(folder, Folder)
    assert len(open_source(tmp_path / name)) > 0


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.beton: no such file or folder; .*efficienttrain convert"):
        open_dataset(tmp_path / "x.beton")


def test_a_failed_opening_leaves_no_file_open(pyramid: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.beton").write_bytes(pyramid.read_bytes()[:-1])
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(BadDataset):
            open_dataset(tmp_path / "cut.beton")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_dropped_store_closes_its_file(pyramid: Path) -> None:
    gc.collect()  # what earlier tests left
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        open_dataset(pyramid)
    gc.collect()
    dataset = open_dataset(pyramid)
    dataset.close()
    dataset.close()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("kind", ["pyramid", "ffcv_beton"])
def test_touching_passes_and_writing_does_not(pyramid: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.beton"
    if kind == "pyramid":
        shutil.copy(pyramid, path)
    else:
        extract(pyramid, path, 1)
        without_index(path)
    with open_dataset(path) as dataset:
        os.utime(path, ns=(1, 1))
        dataset.check_unchanged()
        assert len(dataset.entries([0, 1])) == 2
        with open(path, "r+b") as file:
            file.seek(-5, os.SEEK_END)
            file.write(b"x" if kind == "ffcv_beton" else b"")
            file.seek(4)
            file.write(b"\0\0\x40\0" if kind == "pyramid" else b"")
        os.utime(path, ns=(2, 2))
        with pytest.raises(BadDataset, match=r"x\.beton: was modified while it was open"):
            dataset.entries([0, 1])


def test_a_disk_that_fails_is_named(pyramid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with open_dataset(pyramid) as dataset, monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        for ask in (lambda: dataset.entries([3, 1]), lambda: dataset.entries([0, 1]), lambda: dataset.read(0)):
            with pytest.raises(BadDataset, match=r"train\.beton: .*Input/output error"):
                ask()


def test_a_field_that_no_sample_has_is_refused(jpeg_folder: Path, pyramid: Path, tmp_path: Path) -> None:
    table = tmp_path / "x.csv"
    table.write_text(f"path,label,age\n{next((jpeg_folder / 'val').rglob('*.jpg'))},cat,3\n")
    wanted = {"label": FieldType("int"), "ages": FieldType("int")}
    with pytest.raises(ValueError, match=r"must name some of label, path, age, got 'ages'; did you mean 'age'\?"):
        open_source(table, fields=wanted)
    for source in (jpeg_folder / "val", pyramid):
        with pytest.raises(ValueError, match=r"\(--fields\) must name some of label, got 'ages'"):
            open_source(source, fields=wanted)
    assert list(open_source(table, fields={"age": FieldType("int")}).fields) == ["age"]
