from __future__ import annotations

import os
from pathlib import Path

import pytest

from loaders.conversion import extract, verify
from loaders.errors import BadDataset
from loaders.sources import open_dataset
from loaders.sources.ffcv_beton import FFCVBeton


@pytest.mark.parametrize("level", [0, 2])
def test_a_level_becomes_a_beton(pyramid: Path, tmp_path: Path, level: int) -> None:
    size = extract(pyramid, tmp_path / "level.beton", level)
    assert size == (tmp_path / "level.beton").stat().st_size
    assert verify(tmp_path / "level.beton") == []
    with open_dataset(pyramid) as whole, open_dataset(tmp_path / "level.beton") as part:
        assert isinstance(part, FFCVBeton) and len(part) == 24
        assert part.labels(range(24)).tolist() == whole.labels(range(24)).tolist()
        for index in range(24):
            assert part.read(index) == whole.read(index, level)
            for name in ("width", "height"):
                assert part.entries([index])[0, 0][name] == whole.entries([index])[0, level][name]
    assert os.listdir(tmp_path) == ["level.beton"]


def test_the_next_larger_level_stands_in_for_one_that_was_left_out(beton: Path, tmp_path: Path) -> None:
    extract(beton, tmp_path / "level.beton", 2)
    with open_dataset(beton) as whole, open_dataset(tmp_path / "level.beton") as part:
        stored = whole.entries(range(24))["width"] > 0
        assert 0 < stored[:, 2].sum() < 24 and stored[:, :2].all()
        for index in range(24):
            assert part.read(index) == whole.read(index, 2 if stored[index, 2] else 1)
    assert verify(tmp_path / "level.beton") == verify(beton) == []


def test_what_cannot_be_extracted(pyramid: Path, jpeg_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`level` must be from 0 to 2 .* got 3"):
        extract(pyramid, tmp_path / "x", 3)
    with pytest.raises(ValueError, match="another file"):
        extract(pyramid, pyramid, 0)
    with pytest.raises(BadDataset, match="convert it first"):
        extract(jpeg_folder / "train", tmp_path / "x", 0)
    with pytest.raises(FileNotFoundError):
        extract(pyramid, tmp_path / "none" / "x", 0)
    assert os.listdir(tmp_path) == []
