"""`efficienttrain parts`: a manifest of betons, and what is wrong with one of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from efficienttrain.__main__ import main
from loaders import convert, open_dataset


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
    assert "1.beton: no such file" in capsys.readouterr().out


def test_split_append_remove_and_compact(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(jpeg_folder / "val", tmp_path / "val.beton", workers=1)
    manifest, common = str(tmp_path / "set.json"), ["--workers", "1", "--quiet"]
    assert main(["parts", "split", str(tmp_path / "val.beton"), manifest, "--parts", "2", *common]) == 0
    assert main(["parts", "append", manifest, str(jpeg_folder / "val"), *common]) == 0
    assert "12 samples" in capsys.readouterr().out
    with open_dataset(manifest) as dataset:
        (tmp_path / "forget.txt").write_text(dataset.name(0) + "\n")  # which occurs twice
    assert main(["parts", "remove", manifest, "--names-file", str(tmp_path / "forget.txt"), "--indices", "2"]) == 0
    assert "3 samples left out" in capsys.readouterr().out
    assert main(["parts", "compact", manifest, *common]) == 0
    assert "2 files replaced" in capsys.readouterr().out
    assert main(["parts", "check", manifest, "--records"]) == 0
    assert "9 samples in 3 parts, sound" in capsys.readouterr().out
    assert main(["parts", "remove", manifest]) == 2
    assert "needs samples, got none" in capsys.readouterr().err
