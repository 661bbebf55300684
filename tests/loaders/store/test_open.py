from __future__ import annotations

import os
from pathlib import Path

import pytest

from loaders.errors import BadDataset
from loaders.store import open_store
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
