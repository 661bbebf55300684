from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from efficienttrain.pretraining import Masking, pretrain
from efficienttrain.training import Config, train
from efficienttrain.training.logbook import read
from tests.efficienttrain.training.runs import curve
from tests.efficienttrain.training.test_trainer import Crash, crash_at

VIT = f"{Path(__file__).with_name('networks.py')}:vit"


def config(data: Path, out: Path, **options: Any) -> Config:
    """A few steps at 32, 48 and 64 pixels."""
    defaults: dict[str, Any] = {
        "data": str(data / "train"), "model": VIT, "out": str(out), "size": 64, "epochs": 8.0, "batch": 8, "lr": 3e-3,
        "device": "cpu", "workers": 1, "log_every": 1, "save_every": 0.15, "hash_batches": True, "progress": False,
    }  # fmt: skip
    return Config(**{**defaults, **options})


def test_loss_falls_and_no_stage_breaks_it(jpeg_folder: Path, tmp_path: Path) -> None:
    result = pretrain(config(jpeg_folder, tmp_path / "run", epochs=24.0))
    lines = [line for line in read(result.out) if line["kind"] == "train"]
    losses = [line["loss"] for line in lines]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    borders = [k for k in range(1, len(lines)) if lines[k]["stage"] != lines[k - 1]["stage"]]
    assert len(borders) == 2
    for border in borders:
        before, after = (sum(losses[k : k + 4]) / 4 for k in (border - 4, border))
        assert after == pytest.approx(before, rel=0.1)


def test_stages_cost_what_the_curriculum_says(jpeg_folder: Path, tmp_path: Path) -> None:
    result = pretrain(config(jpeg_folder, tmp_path / "run", curriculum="iccv", epochs=5.0, size=112))
    stages = [(row["resolution"], row["magnitude"], row["steps"]) for row in result.report["stages"]]
    assert stages == [(80, None, 9), (96, None, 3), (112, None, 3)]  # 60, 20 and 20 % of 15 steps
    for number, (resolution, *_) in enumerate(stages, start=1):
        with Image.open(result.out / f"stage_{number}_{resolution}px.png") as picture:
            assert picture.width == 3 * resolution + 8


def test_a_run_that_died_goes_on_as_if_it_had_not(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masking, options = Masking("hog", 0.6), {"micro_batch": 4}
    straight = pretrain(config(jpeg_folder, tmp_path / "straight", **options), masking)
    died = config(jpeg_folder, tmp_path / "died", **options)
    for step in (6, 17):
        with monkeypatch.context() as patch, pytest.raises(Crash):
            crash_at(patch, step)
            pretrain(died, masking)
    resumed = pretrain(died, masking)
    assert curve(resumed.out) == curve(straight.out)
    ends = [torch.load(run.out / "encoder.pt", weights_only=True) for run in (straight, resumed)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    with pytest.raises(ValueError, match=r"holds a training with target = 'hog', now it is 'pixels'"):
        pretrain(died, Masking("pixels", 0.6))


def test_micro_batches_change_nothing(jpeg_folder: Path, tmp_path: Path) -> None:
    for micro in (2, 8):
        pretrain(config(jpeg_folder, tmp_path / str(micro), epochs=3.0, micro_batch=micro))
    small, large = ([loss for _, loss, _ in curve(tmp_path / name)] for name in ("2", "8"))
    assert small == pytest.approx(large, abs=1e-4)


def test_the_encoder_is_where_fine_tuning_begins(jpeg_folder: Path, tmp_path: Path) -> None:
    found = pretrain(config(jpeg_folder, tmp_path / "run", epochs=3.0)).out / "encoder.pt"
    options = {"epochs": 1.0, "curriculum": "none", "lr": 1e-12, "reprob": 0.0}
    tuned = train(config(jpeg_folder, tmp_path / "tuned", init=str(found), **options))
    state = torch.load(sorted(tuned.out.glob("step_*.pt"))[-1], weights_only=True)
    weights, encoder = state["learner"]["model"], torch.load(found, weights_only=True)
    assert all(torch.allclose(weights[name], value, atol=1e-6) for name, value in encoder.items())
