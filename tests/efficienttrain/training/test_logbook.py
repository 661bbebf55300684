from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from efficienttrain.training.logbook import LOG, Logbook, read


class Writer:
    """Stands for TensorBoard's SummaryWriter."""

    scalars: list[tuple[str, float, int]]

    def __init__(self, folder: str) -> None:
        Path(folder).mkdir()
        Writer.scalars = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        Writer.scalars.append((name, value, step))

    def close(self) -> None:
        Writer.scalars.append(("closed", 0, 0))


def test_a_log_is_cut_back_to_its_checkpoint(tmp_path: Path) -> None:
    log = Logbook(tmp_path)
    log.write("train", 1, loss=2.0)
    kept = log.size
    log.write("train", 2, loss=1.0)
    log.close()
    log = Logbook(tmp_path, kept)
    log.write("train", 2, loss=1.5)
    log.close()
    assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(1, 2.0), (2, 1.5)]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"kind": "train", "step": 1}\n{"kind": "tr')
    assert read(tmp_path) == [{"kind": "train", "step": 1}]


def test_tensorboard_gets_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    log = Logbook(tmp_path)
    log.write("train", 3, loss=2.0, lr=0.1, images=64)
    log.write("evaluate", 3, top1=0.5)
    log.close()
    assert Writer.scalars == [("train/loss", 2.0, 3), ("train/lr", 0.1, 3), ("evaluate/top1", 0.5, 3), ("closed", 0, 0)]
    assert (tmp_path / "tensorboard").is_dir()


def test_without_tensorboard_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = Logbook(tmp_path)
    log.write("train", 1, loss=2.0)
    log.close()
    assert capsys.readouterr().err.count("TensorBoard is not installed") == 1
