from __future__ import annotations

import errno
import gc
import os
import shutil
from pathlib import Path

import pytest

from loaders.errors import BadDataset
from loaders.store import extract, open_store
from loaders.store.folder import Folder
from loaders.store.ladder import Ladder


def test_each_kind_is_told_apart(ladder: Path, jpeg_folder: Path) -> None:
    with open_store(ladder) as beton, open_store(str(jpeg_folder / "val")) as folder:
        assert isinstance(beton, Ladder) and isinstance(folder, Folder)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.beton: no such file or folder; .*tools convert"):
        open_store(tmp_path / "x.beton")


def test_a_failed_opening_leaves_no_file_open(ladder: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.beton").write_bytes(ladder.read_bytes()[:-1])
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(BadDataset):
            open_store(tmp_path / "cut.beton")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_dropped_store_closes_its_file(ladder: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        open_store(ladder)
    gc.collect()
    store = open_store(ladder)
    store.close()
    store.close()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("kind", ["ladder", "stock"])
def test_touching_passes_and_writing_does_not(ladder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.beton"
    if kind == "ladder":
        shutil.copy(ladder, path)
    else:
        extract(ladder, path, 1)
    with open_store(path) as store:
        os.utime(path, ns=(1, 1))
        store.check_unchanged()
        assert len(store.entries([0, 1])) == 2
        with open(path, "r+b") as file:
            file.seek(-5, os.SEEK_END)
            file.write(b"x" if kind == "stock" else b"")
            file.seek(4)
            file.write(b"\0\0\x40\0" if kind == "ladder" else b"")
        os.utime(path, ns=(2, 2))
        with pytest.raises(BadDataset, match=r"x\.beton: was written to while it was open"):
            store.entries([0, 1])


def test_a_disk_that_fails_is_named(ladder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with open_store(ladder) as store, monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        for ask in (lambda: store.entries([3, 1]), lambda: store.entries([0, 1]), lambda: store.read(0)):
            with pytest.raises(BadDataset, match=r"train\.beton: .*Input/output error"):
                ask()
