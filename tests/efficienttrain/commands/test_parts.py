"""`efficienttrain parts`: a manifest of betons, and what is wrong with one of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from efficienttrain.__main__ import main
from loaders import convert


def test_merge_and_check(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, manifest = (str(tmp_path / name) for name in ("0.beton", "1.beton", "all.json"))
    convert(jpeg_folder / "val", first, workers=1)
    shutil.copy(first, second)
    assert main(["parts", "merge", manifest, first, second]) == 0
    assert "12 samples in 2 parts" in capsys.readouterr().out
    assert main(["parts", "check", manifest, "--records"]) == 0
    assert "sound" in capsys.readouterr().out

    with open(second, "r+b") as file:
        file.seek(6000)
        file.write(b"damage")
    assert main(["parts", "check", manifest, "--records"]) == 1
    assert f"{second}: 6 samples, 1 damaged" in capsys.readouterr().out
    Path(second).unlink()
    assert main(["parts", "check", manifest]) == 2
    assert "1.beton: no such file" in capsys.readouterr().err
