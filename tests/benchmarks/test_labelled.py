from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.labelled import bench, of, percent, plain, spread
from loaders import Loader
from tests.benchmarks.test_fashion import write_idx


def labels(beton: str) -> list[int]:
    with Loader(beton, 1, train=False, drop_last=False, num_workers=1) as loader:
        return [int(label) for _, label in loader]


def test_data_are_made_once_and_parts_by_name(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        with bench(str(write_idx(tmp_path)), 32, 30, 20, 3, str(tmp_path / "work")) as place:
            assert torch.get_num_threads() == 2  # and one that loads
            betons = place.betons()
            assert (len(labels(betons["data"])), len(labels(betons["val"]))) == (30, 20)
            halves = [place.beton("val", name, slice(at, None, 2)) for at, name in enumerate(("one", "other"))]
            assert labels(halves[0]) == labels(halves[1]) == list(range(10))
            made = Path(halves[0]).stat().st_mtime_ns
            assert place.beton("val", "one", slice(1)) == halves[0]
            assert Path(halves[0]).stat().st_mtime_ns == made
    finally:
        torch.set_num_threads(before)


def test_a_folder_of_images_is_taken_as_it_is(jpeg_folder: Path, tmp_path: Path) -> None:
    with bench(str(jpeg_folder), 32, 1, 1, None, str(tmp_path)) as place:
        assert place.images == jpeg_folder
        assert len(labels(place.betons()["data"])) == 24


def test_spread_over_seeds() -> None:
    assert spread([0.7, 0.72]) == pytest.approx({"mean": 0.71, "sd": 0.01 * 2**0.5})
    assert spread([0.7])["sd"] == 0
    assert percent({"mean": 0.01, "sd": 0.002}, "+") == "+1.00 ± 0.20"
    assert plain({"mean": 1.5, "sd": 0.25}, 2) == "1.50 ± 0.25"
    assert of([{"a": 1, "seed": 1}, {"a": 2, "seed": 0}, {"a": 1, "seed": 0}], a=1) == [
        {"a": 1, "seed": 0}, {"a": 1, "seed": 1},
    ]  # fmt: skip
