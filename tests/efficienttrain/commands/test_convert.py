from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from efficienttrain.__main__ import main
from efficienttrain.commands.convert import ratio, report
from loaders.conversion import Summary
from loaders.sources import open_dataset


def test_a_folder_becomes_a_beton(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.beton"
    arguments = ["--split", "val", "--levels", "1", "3/4", "0.5", "--quality", "90", "--workers", "1"]
    assert main(["convert", str(jpeg_folder), str(out), *arguments]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{out}: 6 images of 3 classes")
    assert "6/6" in told.err and "img/s" in told.err
    with open_dataset(out) as dataset:
        assert len(dataset) == 6 and dataset.ratios == (1.0, 0.75, 0.5)


def test_quiet_shows_no_bar(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = jpeg_folder / "train", tmp_path / "x.beton"
    assert main(["convert", str(source), str(out), "--quiet", "--workers", "1", "--limit", "2"]) == 0
    told = capsys.readouterr()
    assert told.err == "" and "2 images of 3 classes" in told.out


def test_errors_are_one_line(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(jpeg_folder / "train")
    (tmp_path / "file").write_text("no folder")
    for arguments, told in (
        ([str(tmp_path / "none"), "x.beton"], "no such folder"),
        ([source, str(tmp_path / "none" / "x.beton")], "no such folder to write to"),
        ([source, str(tmp_path / "file" / "x.beton")], "no such folder to write to"),
        ([source, str(tmp_path / "x.beton"), "--quality", "0"], "`quality` must be from 1 to 100, got 0"),
        ([source, str(tmp_path / "x.beton"), "--levels", "1/2"], "levels must start with 1"),
        ([str(jpeg_folder), str(tmp_path / "x.beton")], "are splits (train, val)"),
    ):
        assert main(["convert", *arguments]) == 2
        line = capsys.readouterr().err
        assert line.startswith("error: ") and told in line and line.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_bad_file_stops_it_or_is_named(tmp_path: Path, jpeg_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "src" / "a"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(next(jpeg_folder.rglob("*.jpg")).read_bytes())
    (folder / "2.jpg").write_bytes(b"no image")
    out = tmp_path / "x.beton"
    assert main(["convert", str(tmp_path / "src"), str(out), "--quiet", "--workers", "1"]) == 2
    assert "sample 1 (a/2.jpg) cannot be decoded" in capsys.readouterr().err
    assert not out.exists()
    skip = ["--on-error", "skip", "--quiet", "--workers", "1"]
    assert main(["convert", str(tmp_path / "src"), str(out), *skip]) == 0
    assert "refused: a/2.jpg: " in capsys.readouterr().out
    assert out.exists()


def test_every_changed_and_refused_file_is_listed() -> None:
    changed, refused = [(f"{k}.png", "PNG") for k in range(300)], [("x.jpg", "cut short")]
    text = report(Summary("o.beton", 500, 2, 1000, 1400, changed, refused, [("y.jpg", "odd")]))
    assert text.splitlines()[0] == "o.beton: 500 images of 2 classes, 0.0 MB, 1.40 x their 0.0 MB of source files"
    assert text.count("\nchanged: ") == 300 and "\nrefused: x.jpg: cut short\n" in text
    assert "\naccepted: y.jpg: odd\n" in text and text.endswith("300 changed, 1 refused")


@pytest.mark.parametrize(("text", "value"), [("1/2", 0.5), ("0.25", 0.25), ("1", 1.0)])
def test_ratios(text: str, value: float) -> None:
    assert ratio(text) == value


@pytest.mark.parametrize("text", ["half", "1/0", ""])
def test_ratios_that_are_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="number or a fraction"):
        ratio(text)
