from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficienttrain.__main__ import main
from loaders import convert, open_dataset
from loaders.conversion import inspect


@pytest.fixture(scope="module")
def beton(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inspect") / "train.beton"
    convert(jpeg_folder / "train", out, overhead=9, workers=1)
    return out


def test_facts_of_a_pyramid(beton: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(beton)]) == 0
    text = capsys.readouterr().out
    assert "pyramid" in text and "24 of 3 classes" in text
    levels = [line.split() for line in text.splitlines()[-3:]]
    assert [level[:4] for level in levels] == [
        ["0", "1.000", "24", "100%"], ["1", "0.500", "24", "100%"], ["2", "0.250", "24", "100%"],
    ]  # fmt: skip
    with open_dataset(beton) as dataset:
        stored = sum(len(dataset.read(index)) for index in range(len(dataset)))
    assert float(levels[0][-1]) == pytest.approx(stored / 1e6, abs=0.06)


def test_a_level_that_no_image_has(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(jpeg_folder / "val", tmp_path / "x.beton", overhead=0, workers=1)
    assert main(["inspect", str(tmp_path / "x.beton")]) == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(None, 3)[3].split(":")[0] for line in lines] == ["left out for all images"] * 2


def test_facts_of_a_folder(jpeg_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(jpeg_folder / "train")]) == 0
    assert "image folder" in capsys.readouterr().out


def test_each_station_shows_less_of_the_same_picture(beton: Path) -> None:
    with open_dataset(beton) as dataset:
        way = inspect.stations(dataset, 5, 32)
        names = [station.title for station in way]
        assert names == ["original", names[1], "sub-JPEG", "32 x 32"] and names[1].startswith("level ")
        sizes = [int(station.facts[1].split()[0].replace(",", "")) for station in way[:3]]
        assert len(dataset.read(5)) == sizes[0] >= sizes[1] >= sizes[2]
    original, _, cut, result = way
    assert original.pixels.size > cut.pixels.size and result.pixels.shape == (32, 32, 3)
    assert original.box is not None and cut.box is not None
    # The crop has the same mean colour wherever it is looked at.
    means = []
    for station in (original, cut):
        x0, y0, x1, y1 = (round(side) for side in station.box or ())
        means.append(station.pixels[y0:y1, x0:x1].mean(axis=(0, 1)))
    means.append(result.pixels.mean(axis=(0, 1)))
    np.testing.assert_allclose(means, [means[0]] * 3, atol=4)


def test_a_file_without_markers_is_not_cut(jpeg_folder: Path) -> None:
    with open_dataset(jpeg_folder / "train") as dataset:
        way = inspect.stations(dataset, 0, 64, train=False)
    assert "not cut: no restart markers" in way[2].facts


def test_the_picture_holds_all_stations(beton: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    png = tmp_path / "way.png"
    assert main(["inspect", str(beton), "--index", "5", "--resolution", "32", "--png", str(png)]) == 0
    assert "sample 5: class000/000005.jpg" in capsys.readouterr().out
    with open_dataset(beton) as dataset:
        way = inspect.stations(dataset, 5, 32)
    with Image.open(png) as sheet:
        assert sheet.width > sum(station.pixels.shape[1] for station in way)
        assert np.asarray(sheet).std() > 10


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--index", "24"], "from 0 to 23, got 24"),
        (["--index", "0", "--resolution", "15"], "whole number from 16 to 1024, got 15"),
        (["--png", "x.png"], "--index"),
    ],
)
def test_wrong_arguments_get_one_line(
    beton: Path, arguments: list[str], rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(beton), *arguments]) == 2
    error = capsys.readouterr().err
    assert rule in error and error.count("\n") == 1
