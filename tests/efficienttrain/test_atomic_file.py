from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from efficienttrain.atomic_file import atomic_write, naming


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert [path.read_bytes(), *tmp_path.iterdir()] == [b"new", path]


def test_one_that_was_not_finished_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can grow beyond 64 KiB, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_torch_does_not_hide_why_a_file_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "step.pt"
    with pytest.raises(OSError, match="File too large") as caught, atomic_write(path) as file:
        torch.save({"weights": torch.zeros(1 << 20)}, file)
    assert caught.value.filename == str(path) and list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_once_with_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    path.symlink_to("/dev/full")
    with (
        pytest.raises(OSError, match=r"No space left on device; free some and repeat the command: .*report\.png.$"),
        naming(path),
        naming(path),
    ):
        path.write_bytes(b"picture")
