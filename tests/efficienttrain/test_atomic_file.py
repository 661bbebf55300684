from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain.atomic_file import whole


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with whole(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert [path.read_bytes(), *tmp_path.iterdir()] == [b"new", path]


def test_one_that_was_not_finished_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole(path) as file:
        file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
