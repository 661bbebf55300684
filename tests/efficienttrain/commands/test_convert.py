from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from efficienttrain.__main__ import main
from efficienttrain.commands.convert import field, ratio, report, shard
from loaders.conversion import Summary
from loaders.sources import open_dataset


def test_a_folder_becomes_a_beton(
    jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.progress.EVERY", 0.0)
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


def test_a_table_with_fields(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = jpeg_folder / "val"
    names = [str(path.relative_to(root)) for path in sorted(root.rglob("*.jpg"))]
    rows = [f'{name},{Path(name).parent.name},{k / 2},"[{k}, 1]"\n' for k, name in enumerate(names)]
    (tmp_path / "x.csv").write_text("where,breed,age,pair\n" + "".join(rows))
    (tmp_path / "classes.txt").write_text("class002\nclass001\n\nclass000\n")
    arguments = ["--path-column", "where", "--image-root", str(root)]
    arguments += ["--label-column", "breed", "--classes", str(tmp_path / "classes.txt")]
    arguments += ["--fields", "label:int", "age:float", "pair:int16:2", "--quiet"]
    assert main(["convert", str(tmp_path / "x.csv"), str(tmp_path / "x.beton"), *arguments]) == 0
    assert "6 images of 3 classes" in capsys.readouterr().out
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.labels(range(6)).tolist() == [2, 2, 1, 1, 0, 0]
        assert dataset.classes == ["class002", "class001", "class000"]
        assert np.asarray(dataset.read_field("age", [3])).tolist() == [1.5]
        assert np.asarray(dataset.read_field("pair", [3])).tolist() == [[3, 1]]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("a:int", ("a", "int")), ("a:float32:40", ("a", ("float32", (40,)))), ("a:u1:3x5", ("a", ("u1", (3, 5))))],
)
def test_fields_as_typed(text: str, meant: tuple[str, object]) -> None:
    assert field(text) == meant


@pytest.mark.parametrize("text", ["a", "a:", "a:u1:x"])
def test_fields_that_are_wrong(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="got "):
        field(text)


def test_errors_are_one_line(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(jpeg_folder / "train")
    (tmp_path / "file").write_text("no folder")
    for arguments, told in (
        ([str(tmp_path / "none"), "x.beton"], "no such file or folder"),
        ([source, str(tmp_path / "file" / "x.beton")], "file: must be a folder to write to, is a file"),
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
    assert "sample 1 (a/2.jpg) cannot be used" in capsys.readouterr().err
    assert not out.exists()
    skip = ["--on-error", "skip", "--quiet", "--workers", "1"]
    assert main(["convert", str(tmp_path / "src"), str(out), *skip]) == 0
    assert "refused: a/2.jpg: " in capsys.readouterr().out
    assert out.exists()


def test_what_may_be_a_mistake_is_noted(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def notes(source: Path, *options: str) -> list[str]:
        assert main(["convert", str(source), str(tmp_path / "x.beton"), "--quiet", "--workers", "1", *options]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]

    assert notes(jpeg_folder / "val") == []
    image, folder = next(jpeg_folder.rglob("*.jpg")).read_bytes(), tmp_path / "images" / "a"
    folder.mkdir(parents=True)
    for name in ("1.jpg", "2.GIF", "3.gif", "Thumbs.db", ".hidden.gif", "notes"):
        (folder / name).write_bytes(image)
    left, single = notes(tmp_path / "images")
    assert left.endswith("left out: 2 .gif, 1 without an ending, 1 .db")
    assert single.startswith("note: all images are of one class, 'a': ")
    (tmp_path / "x.csv").write_text("path,breed,age\nimages/a/1.jpg,cat,3\n")
    columns, unlabelled = notes(tmp_path / "x.csv")
    assert columns.startswith("note: columns that are not stored: breed. ")
    assert unlabelled.startswith("note: no label was found; stored fields: age. Name the label by `label_column`")
    assert notes(tmp_path / "x.csv", "--label-column", "breed") == []


def test_every_changed_and_refused_file_is_listed(tmp_path: Path) -> None:
    changed, refused = [(f"{k}\t.png", "PNG") for k in range(300)], [("x.jpg", "cut short")]
    summary = Summary("o.beton", 500, 2, 1000, 1400, changed, refused, [("ü.jpg", "odd")])
    text = report(summary)
    assert text.splitlines()[0] == "o.beton: 500 images of 2 classes, 0.0 MB, 1.40 x their 0.0 MB of source files"
    assert text.count("\nchanged: ") == 21 and "\nrefused: x.jpg: cut short\n" in text
    assert "\nchanged: and 280 more; `--report FILE` lists all\n" in text
    assert "\naccepted: ü.jpg: odd\n" in text and text.endswith("300 changed, 1 refused")
    table = tmp_path / "report.tsv"
    assert f"\nchanged: and 280 more; all are in {table}\n" in report(summary, table)
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    assert rows[0] == ["accepted", "ü.jpg", "odd"] and rows[-1] == ["refused", "x.jpg", "cut short"]
    assert rows[1:-1] == [["changed", f"{k}\\t.png", "PNG"] for k in range(300)]


@pytest.mark.parametrize(("text", "value"), [("1/2", 0.5), ("0.25", 0.25), ("1", 1.0)])
def test_ratios(text: str, value: float) -> None:
    assert ratio(text) == value


@pytest.mark.parametrize("text", ["half", "1/0", ""])
def test_ratios_that_are_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="number or a fraction"):
        ratio(text)


def test_one_of_several_parts(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(part: str) -> list[str]:
        out = str(tmp_path / "x.beton")
        assert main(["convert", str(jpeg_folder / "val"), out, "--shard", part, "--workers", "1", "--quiet"]) == 0
        return capsys.readouterr().out.splitlines()

    manifest = tmp_path / "x.json"
    assert run("1/2")[-1] == f"1 of 2 parts are complete; the last one to finish writes {manifest}"
    assert run("0/2")[-1] == f"{manifest}: all 2 parts are complete, 6 images"
    with open_dataset(manifest) as dataset:
        assert len(dataset) == 6


@pytest.mark.parametrize("text", ["2/2", "3", "a/2", "-1/2", "1/"])
def test_parts_that_are_wrong(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be I/N"):
        shard(text)
