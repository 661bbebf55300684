from __future__ import annotations

import json
from pathlib import Path

import pytest

from efficienttrain.__main__ import main


def test_it_explains_the_numbers_that_users_took_for_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "deit_small_patch16_224"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "These 469 cost as much as 200 at 224 px" in out
    assert "--epochs 1088, the length of a run at 96 px alone, and stop at epoch 108: no error" in out
    assert "In all 469 passes, 146,328 steps." in out
    assert "No recipe was published" not in out


def test_json_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"--json": tmp_path / "s.json", "--png": tmp_path / "s.png"}
    argv = ["schedule", "--model", "cswin_tiny", "--epochs", "100", "--images", "50000", "--batch", "500"]
    assert main([*argv, *(str(part) for pair in files.items() for part in pair)]) == 0
    made = json.loads(files["--json"].read_text())
    assert made["total_steps"] == sum(stage["steps"] for stage in made["stages"])
    assert made["stages"][0] == {
        "resolution": 96, "magnitude": 0, "compute": pytest.approx(0.1), "batch": 500, "replay": 1, "replay_buffer": 0,
        "epochs": pytest.approx(54.44, abs=0.01), "steps": 5444, "equivalent_epochs": pytest.approx(10),
        "lr_start": 0.0, "lr_end": pytest.approx(3.957e-3, rel=1e-3), "official": {"whole": 544, "begin": 0, "end": 54},
    }  # fmt: skip
    assert files["--png"].read_bytes().startswith(b"\x89PNG")
    assert f"{made['total_steps']:,}" in capsys.readouterr().out


@pytest.mark.parametrize("curriculum", ["replay", "iccv", "linear", "step", "none"])
def test_every_curriculum_is_shown(curriculum: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "resnet50", "--curriculum", curriculum]) == 0
    assert f"curriculum {curriculum}" in capsys.readouterr().out


def test_a_model_without_a_recipe_is_said_to_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "my_package:build"]) == 0
    assert "No recipe was published for my_package:build" in capsys.readouterr().out


def test_an_unknown_model_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "swim_tiny"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "nearest are swin_tiny" in err
