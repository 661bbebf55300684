from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from benchmarks.harness import page_cache
from benchmarks.harness.contestant import Job

SIZE = 64 * page_cache.PAGE + 5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.beton"
    path.write_bytes(bytes(SIZE))
    if page_cache.drop([path]) == 1:
        pytest.skip("this file system keeps its files in memory")
    return path


def test_dropped_files_are_read_from_the_disk(file: Path) -> None:
    assert page_cache.drop([file]) == 0
    file.read_bytes()
    with file.open("rb") as opened:
        assert page_cache._resident(opened.fileno(), SIZE) == SIZE
    assert page_cache.drop([file]) == 0
    assert page_cache.drop([]) == 0


def test_mapped_pages_are_dropped_once_they_are_released(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[:: page_cache.PAGE]) == 0
        assert page_cache.drop([file]) > 0.9
        page_cache.release([file, tmp_path / "empty"])
        assert page_cache.drop([file, tmp_path / "empty"]) == 0
        assert mapped[SIZE - 1] == 0  # read again


def test_the_files_of_a_contestant(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "streaming").mkdir()
    for name in ("ours.beton", "ffcv.beton", "shard.tar", "streaming/shard.mds", "note.log"):
        (tmp_path / name).touch()
    job = Job("x", 16, 1, 1, str(jpeg_folder / "train"), str(tmp_path / "ours.beton"), str(tmp_path))
    found = page_cache.files(job)
    assert len(found) == 24 + 4 and {path.suffix for path in found} == {".jpg", ".beton", ".tar", ".mds"}
