"""The conversion benchmark: what a round is, and the report made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import convert
from benchmarks.harness.contestant import Job


def test_a_round_writes_everything_once_and_leaves_nothing(jpeg_folder: Path, tmp_path: Path) -> None:
    written: list[Path] = []

    def write(path: Path) -> None:
        assert not path.exists()
        path.write_bytes(bytes(1234))
        written.append(path)

    conversion = convert.Conversion(write, Job("x", 0, 1, 0, str(jpeg_folder / "train"), "", str(tmp_path)))
    images, seconds = conversion.round(0.0)
    assert (images, len(written)) == (24, 1)
    assert seconds > 0
    assert conversion.facts() == {"bytes": 1234}
    assert list(tmp_path.iterdir()) == []


def test_report(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        convert,
        "CONTESTANTS",
        {"ours": "tests.benchmarks.fakes:converting", "ffcv": "tests.benchmarks.fakes:missing"},
    )
    data = ["--data", str(jpeg_folder / "train"), "--work", str(tmp_path), "--threads", "1", "--repeat-to", "30"]
    assert command.main(["convert", *data, "--rounds", "2"]) == 0
    out = capsys.readouterr().out
    assert "Skipped: ffcv is not available here (ImportError: No module named 'fast')." in out
    size = sum(file.stat().st_size for file in tmp_path.glob("*/images/*/*"))
    assert ["ours", f"{1e6 / size:.2f}"] == [line.split()[i] for line in out.splitlines()[-1:] for i in (0, -1)]


@pytest.mark.parametrize("source", ["parquet", "webdataset"])
def test_another_form_of_the_data_is_compared_with_the_folder(
    source: str, jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if source == "parquet":
        pytest.importorskip("pyarrow")
    data = ["--data", str(jpeg_folder / "train"), "--work", str(tmp_path), "--threads", "1", "--repeat-to", "24"]
    report = tmp_path / "c.json"
    assert command.main(["convert", *data, "--rounds", "1", "--source", source, "--json", str(report)]) == 0
    assert f"{source} / folder, inside each round: " in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert [row["contestant"] for row in found["results"]] == ["folder", source]
    assert abs(found["results"][0]["bytes"] / found["results"][1]["bytes"] - 1) < 0.01
