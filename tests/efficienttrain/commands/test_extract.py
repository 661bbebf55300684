from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain.__main__ import main
from loaders.conversion import convert
from loaders.sources import open_dataset


def test_a_level_is_written(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, part = tmp_path / "x.beton", tmp_path / "half.beton"
    convert(jpeg_folder / "val", whole, workers=1)
    assert main(["extract", str(whole), "--level", "1", str(part)]) == 0
    assert capsys.readouterr().out.startswith(f"{part}: level 1 of {whole}, ")
    with open_dataset(whole) as pyramid, open_dataset(part) as dataset:
        assert [dataset.read(k) for k in range(6)] == [pyramid.read(k, 1) for k in range(6)]
    assert main(["extract", str(whole), "--level", "3", str(part)]) == 2
    assert "`level` must be from 0 to 2" in capsys.readouterr().err


def test_images_without_the_level_are_counted(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, part = tmp_path / "x.beton", tmp_path / "quarter.beton"
    convert(jpeg_folder / "val", whole, ratios=(1.0, 0.1), workers=1)
    with open_dataset(whole) as pyramid:
        larger = int((pyramid.entries(range(6))["width"][:, 1] == 0).sum())
    assert larger > 0
    assert main(["extract", str(whole), "--level", "1", str(part)]) == 0
    wanted = f"note: {larger} of 6 images have no level 1 and are written at their next larger one"
    assert capsys.readouterr().out.splitlines()[1:] == [wanted]
    assert main(["extract", str(whole), "--level", "0", str(part)]) == 0
    assert "note" not in capsys.readouterr().out
