from __future__ import annotations

import json
from pathlib import Path

import pytest

from efficienttrain.__main__ import main
from efficienttrain.training import Config
from efficienttrain.training.resolve import settle


def test_it_explains_the_numbers_that_users_took_for_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "deit_small_patch16_224"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "These 469 cost as much as 200 at 224 px" in out
    assert "--epochs 1088, the length of a run at 96 px alone, and stop at epoch 108: no error" in out
    assert "In all 469 passes, 146,328 steps." in out
    assert "The trainer does the same, step for step." in out
    assert "recipe of deit_small_patch16_224: the released script _ET_pp_main_deitS.py; nothing is guessed." in out


def test_json_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"--json": tmp_path / "s.json", "--png": tmp_path / "s.png"}
    argv = ["schedule", "--model", "cswin_tiny", "--epochs", "100", "--images", "50000", "--batch", "500"]
    assert main([*argv, *(str(part) for pair in files.items() for part in pair)]) == 0
    made = json.loads(files["--json"].read_text())
    assert made["total_steps"] == sum(stage["steps"] for stage in made["stages"])
    assert made["stages"][0] == {
        "resolution": 96, "magnitude": 0, "compute": pytest.approx(54 / 544), "batch": 500,
        "replay": 1, "replay_buffer": 0,
        "epochs": 54, "steps": 5400, "equivalent_epochs": pytest.approx(100 * 54 / 544),
        "lr_start": 0.0, "lr_end": pytest.approx(4.832e-4, rel=1e-3), "official": {"whole": 544, "begin": 0, "end": 54},
    }  # fmt: skip
    assert files["--png"].read_bytes().startswith(b"\x89PNG")
    assert f"{made['total_steps']:,}" in capsys.readouterr().out


@pytest.mark.parametrize("curriculum", ["replay", "iccv", "linear", "step", "none"])
def test_every_curriculum_is_shown(curriculum: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "resnet50", "--curriculum", curriculum]) == 0
    assert f"curriculum {curriculum}" in capsys.readouterr().out


def test_a_model_without_a_recipe_is_said_to_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "my_package:build"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "guessed: all of it: no recipe was published for this model" in out


def test_the_continuous_schedule_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "caformer_s36", "--lr-schedule", "continuous"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "The trainer gives each stage its exact share, in steps." in out
    assert "continuous schedule, warm-up over 1.8% of the compute" in out and "head dropout 0.4" in out


def test_a_smaller_batch_takes_the_rate_that_the_trainer_takes(tmp_path: Path) -> None:
    for model, rate in (("convnext_tiny", 2.5e-4), ("cswin_base", 2e-3)):
        path = tmp_path / f"{model}.json"
        argv = ["schedule", "--model", model, "--batch", "256", "--images", "50000", "--json", str(path)]
        assert main(argv) == 0
        config = Config(data="", out="", model=model, batch=256)
        assert json.loads(path.read_text())["lr"] == settle(config).lr == pytest.approx(rate)


def test_an_unknown_model_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "swim_tiny"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "nearest are swin_tiny" in err
