from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from efficienttrain.__main__ import main
from efficienttrain.models import build
from tests.efficienttrain.training.runs import NETWORKS


def test_the_table_and_the_file(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build(f"{NETWORKS}:tiny", num_classes=3).state_dict(), tmp_path / "net.pth")
    words = [
        "--model",
        f"{NETWORKS}:tiny",
        "--init",
        tmp_path / "net.pth",
        "--data",
        jpeg_folder / "val",
        "--size",
        "32",
    ]
    more = ["--device", "cpu", "--workers", "1", "--per-class", "--json", tmp_path / "out.json"]
    assert main(["evaluate", *map(str, [*words, *more])]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "6 images of 3 classes at 32 px" in said[0] and len(said) == 4
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["images"] == 6 and [score["images"] for score in made["classes"]] == [2, 2, 2]
    assert f"top-1 {made['top1']:.3%}" in said[0]


def test_weights_are_needed(jpeg_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "resnet18", "--data", str(jpeg_folder / "val")]) == 2
    assert "give the weights" in capsys.readouterr().err
