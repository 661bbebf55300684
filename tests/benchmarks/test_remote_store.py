"""The benchmark of remote reading counts what the store delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import remote
from benchmarks.__main__ import main
from loaders import convert


def test_the_report(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("obstore")
    convert(jpeg_folder / "train", tmp_path / "x.beton", workers=1)
    options = [
        "--batch-size",
        "8",
        "--rounds",
        "1",
        "--resolutions",
        "32",
        "96",
        "--latency",
        "0.001",
        "--threads",
        "1",
    ]
    data = ["--data", str(tmp_path / "x.beton"), "--json", str(tmp_path / "r.json"), "--threads", "1"]
    assert main(["remote", *data, *options]) == 0
    assert "requests/image" in capsys.readouterr().out
    rows = json.loads((tmp_path / "r.json").read_text())["results"]
    assert [(row["order"], row["resolution"]) for row in rows] == [
        (order, side) for order in ("quasi", "random") for side in (32, 96)
    ]
    assert all(0 < row["share_of_bytes"] < 3 and 1 / 24 <= row["requests_per_image"] < 2 for row in rows)


def test_wrong_data(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a pyramid"):
        remote.run(str(tmp_path), threads=1)
