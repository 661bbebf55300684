from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as cli
from benchmarks.evidence import pretraining


def test_beginnings_are_compared_seed_by_seed() -> None:
    runs = []
    for seed, better in enumerate((0.02, 0.04)):
        for name, seconds, side in zip(pretraining.BEGINNINGS, (0.0, 30.0, 20.0), (0, 64, 32), strict=True):
            stages = [{"images": 100, "resolution": side}] if side else []
            top1 = 0.5 + better * (name != "from scratch")
            facts = {"pretrain_seconds": seconds, "pretrain_stages": stages, "top1": top1}
            runs.append({"beginning": name, "seed": seed, **facts})
    found = pretraining.compare(runs, "MAE, curriculum")
    assert found["difference"]["mean"] == pytest.approx(0.03)
    assert (found["wall_ratio"]["mean"], found["compute_ratio"]) == pytest.approx((1.5, 4.0))
    assert "wall_ratio" not in pretraining.compare(runs, "from scratch")


def test_the_whole_on_a_handful_of_images(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (pretraining.PRETRAINING, pretraining.TUNING):
        monkeypatch.setitem(options, "batch", 6)
        monkeypatch.setitem(options, "progress", False)
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    path, options = tmp_path / "P.json", ["--labels", "3", "--threads", "1", "--work", str(tmp_path / "work")]
    asked = ["--data", str(jpeg_folder), "--pretrain-epochs", "1", "--epochs", "1", "--json", str(path), *options]
    assert cli.main(["pretraining", *asked]) == 0
    assert "more than scratch" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert [run["beginning"] for run in found["runs"]] == list(pretraining.BEGINNINGS)
    assert found["results"][2]["compute_ratio"] > 1.2
