from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import __main__ as cli
from benchmarks.evidence import search
from tests.benchmarks.evidence.test_labelled import write_idx


def test_contestants_are_compared_seed_by_seed() -> None:
    runs = [
        {"contestant": name, "seed": seed, "top1": 0.6 + better * (name == "found"), "seconds": 30.0}
        for seed, better in enumerate((0.02, 0.04))
        for name in search.CONTESTANTS
    ]
    found = search.compare(runs)
    assert found["difference"]["mean"] == pytest.approx(0.03)
    assert found["top1"]["constant size"]["mean"] == pytest.approx(0.6)


def test_the_whole_on_a_handful_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("batch", 10), ("progress", False)):
        monkeypatch.setitem(search.OPTIONS, name, value)
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    monkeypatch.setattr(search, "RULE", "tests.efficienttrain.search.toys:near_small")
    paths = [str(tmp_path / "S.json"), str(tmp_path / "S.png")]
    asked = ["--seeds", "1", "--epochs", "1", "--threads", "1", "--json", paths[0], "--png", paths[1]]
    assert cli.main(["search", "--data", str(write_idx(tmp_path)), *asked]) == 0
    assert "whole trainings" in capsys.readouterr().out
    found = json.loads(Path(paths[0]).read_text())
    assert [run["contestant"] for run in found["runs"]] == list(search.CONTESTANTS)
    assert found["search"]["probes"] == len(found["search"]["scores"]) >= 5
    assert sum(share for _, share in found["curriculum"]) == pytest.approx(1)
    spent = [sum(s["images"] * s["resolution"] ** 2 for s in run["stages"]) for run in found["runs"]]
    assert spent[1] == pytest.approx(spent[0], rel=0.3)  # of a few steps; equal but for their rounding
    with Image.open(paths[1]) as picture:
        assert picture.width > 1000


def test_a_probe_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "RULE", "tests.efficienttrain.search.toys:broken")
    assert cli.main(["search", "--data", str(write_idx(tmp_path)), "--threads", "1"]) == 2
    assert "error: probe 112m9: the loss must be finite" in capsys.readouterr().err
