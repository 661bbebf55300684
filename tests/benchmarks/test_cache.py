from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import cache


def test_first_and_later_epochs(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c.json"
    options = ["--threads", "1", "--rounds", "1", "--batch-size", "4", "--resolutions", "32", "--repeat-to", "0"]
    files = ["--data", str(jpeg_folder / "train"), "--work", str(tmp_path / "work"), "--json", str(out)]
    assert command.main(["cache", *options, *files]) == 0
    report = json.loads(out.read_text())
    assert [result["contestant"] for result in report["results"]] == list(cache.EPOCHS)
    assert all(len(result["rates"]) == 1 and result["rates"][0] > 0 for result in report["results"])
    assert report["results"][0]["over_folder"]["median"] == 1.0
    assert "Loader(cache=), first epoch" in capsys.readouterr().out
    assert not list((tmp_path / "work").rglob("cache.beton*"))  # nothing is left
