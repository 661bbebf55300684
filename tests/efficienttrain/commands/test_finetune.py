from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from efficienttrain.__main__ import main
from efficienttrain.commands import finetune as command
from efficienttrain.commands import train
from efficienttrain.models import build
from efficienttrain.training.logbook import read
from tests.efficienttrain.commands.test_train import VIT


def test_the_options_are_those_of_train_and_the_recipe() -> None:
    ours, theirs = argparse.ArgumentParser(), argparse.ArgumentParser()
    command.add_arguments(ours)
    train.add_arguments(theirs)
    names = [{action.dest for action in parser._actions} for parser in (ours, theirs)]
    assert names[0] - names[1] == {"recipe"} and names[1] < names[0]


def test_a_fine_tuning_from_the_command_line(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    torch.save(build(VIT, num_classes=7, resolution=64).state_dict(), tmp_path / "old.pth")
    options = {
        "data": jpeg_folder / "train", "val": jpeg_folder / "val", "model": VIT, "init": tmp_path / "old.pth",
        "out": tmp_path / "run", "epochs": 2, "batch": 8, "size": 64, "device": "cpu", "workers": 1, "recipe": "mae",
        "drop-path": 0, "reprob": 0,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert main(["finetune", *words, "--no-progress"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("recipe mae, of ViT-B (MAE, FINETUNE.md); a guess for this model")
    identity = read(tmp_path / "run")[0]["identity"]
    assert identity["layer_decay"] == 0.65 and identity["lr"] == pytest.approx(5e-4 * 8 / 256)
    state = torch.load(max((tmp_path / "run").glob("step_*.pt")), weights_only=True)
    scales = sorted({group["lr_scale"] for group in state["learner"]["optimizer"]["param_groups"]})
    assert scales == pytest.approx([0.65**3, 0.65**2, 0.65, 1.0])
