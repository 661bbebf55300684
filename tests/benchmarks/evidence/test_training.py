from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import __main__ as cli
from benchmarks.evidence import labelled, training
from benchmarks.harness import report
from tests.benchmarks.evidence.test_labelled import write_idx


def made(model: str, contestant: str, seed: int, top1: float, seconds: float) -> dict[str, Any]:
    """What a run leaves in the report."""
    evaluations = [{"seconds": seconds * half, "top1": top1 * half} for half in (0.5, 1.0)]
    facts = {"top1": top1, "seconds": seconds, "stages": [{"stall": 0.01}, {"stall": 0.04}], "evaluations": evaluations}
    return {"model": model, "contestant": contestant, "seed": seed, **facts}


RUNS = [
    made("net", "baseline", 0, 0.70, 30.0), made("net", "EfficientTrain++", 0, 0.71, 20.0),
    made("net", "EfficientTrain++", 1, 0.73, 25.0), made("net", "baseline", 1, 0.70, 30.0),
]  # fmt: skip


def test_contestants_are_compared_seed_by_seed() -> None:
    result = training.compare(RUNS, "net")
    assert result["difference"] == pytest.approx({"mean": 0.02, "sd": 0.01 * 2**0.5})
    assert result["wall_ratio"]["mean"] == pytest.approx((1.5 + 1.2) / 2)
    assert result["compute_ratio"] == pytest.approx(1.5)
    assert result["hidden"] == pytest.approx(1.35 / 1.5)
    assert result["stall"] == {"baseline": 0.04, "EfficientTrain++": 0.04}


def test_one_seed_has_no_spread() -> None:
    assert training.compare(RUNS[:2], "net")["difference"]["sd"] == 0


def test_the_whole_on_a_handful_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(training.SMALL["options"], "batch", 10)
    monkeypatch.setitem(training.SMALL["options"], "progress", False)
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    paths = [str(tmp_path / "T.json"), str(tmp_path / "T.png")]
    asked = ["--seeds", "1", "--epochs", "1.5", "--size", "32", "--threads", "1", "--json", paths[0], "--png", paths[1]]
    assert cli.main(["training", "--data", str(write_idx(tmp_path)), *asked]) == 0
    shown = capsys.readouterr().out
    assert "mean ± standard deviation" in shown
    found = json.loads(Path(paths[0]).read_text())
    assert [(run["model"], run["contestant"]) for run in found["runs"]] == [
        (model, name) for model in ("convnet", "vit") for name in training.CONTESTANTS
    ]
    assert all(run["samples"] == 40 and run["seconds"] > 0 for run in found["runs"])
    assert report.head({**found, "fairness": training.FAIRNESS})
    with Image.open(paths[1]) as picture:
        assert picture.width > 1000


def test_no_data_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(labelled, "FASHION", tmp_path / "nowhere")
    assert cli.main(["training"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
