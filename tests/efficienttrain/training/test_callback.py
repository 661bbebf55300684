from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from efficienttrain.training import Callback, Result, train
from efficienttrain.training.callback import Tracked, check_trackers, trackers
from efficienttrain.training.logbook import read
from efficienttrain.training.trainer import Trainer
from tests.efficienttrain.training.runs import config


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


class Watching(Callback):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def begin(self, trainer: Trainer) -> None:
        self.events.append(("begin", trainer.step))

    def enter(self, trainer: Trainer) -> None:
        self.events.append(("enter", trainer.stage))

    def step(self, trainer: Trainer) -> None:
        self.events.append(trainer.step)

    def log(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        if kind == "evaluate":
            self.events.append(("top1", step, values["top1"]))

    def end(self, trainer: Trainer, result: Result) -> None:  # noqa: ARG002
        self.events.append(("end", result.top1))

    def close(self) -> None:
        self.events.append("close")


def test_a_callback_hears_of_everything_in_order(jpeg_folder: Path, tmp_path: Path) -> None:
    watching = Watching()
    result = train(config(jpeg_folder, tmp_path / "run", epochs=1.0), [watching])
    steps = [event for event in watching.events if isinstance(event, int)]
    assert steps == list(range(1, steps[-1] + 1))
    assert watching.events[0] == ("begin", 0) and watching.events[-2:] == [("end", result.top1), "close"]
    assert [event for event in watching.events if isinstance(event, tuple) and event[0] == "enter"] == [
        ("enter", 1),
        ("enter", 2),
    ]
    told = [event for event in watching.events if isinstance(event, tuple) and event[0] == "top1"]
    assert told == [
        ("top1", line["step"], line["top1"]) for line in read(tmp_path / "run") if line["kind"] == "evaluate"
    ]


def fake(calls: list[Any]) -> Any:
    module: Any = ModuleType("wandb")
    module.init = lambda **options: calls.append(("init", options))
    module.log = lambda values, step=None: calls.append((step, values))
    module.define_metric = lambda name, step_metric=None: calls.append(("axis", name, step_metric))
    module.finish = lambda: calls.append("finish")
    return module


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_a_tracker_gets_the_figures_and_a_resumed_run_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, package, fake(calls))
    tracked = Tracked(package, tmp_path)
    tracked.log("begin", 0, {"identity": {"model": "net"}})
    tracked.log("train", 4, {"loss": 1.5, "hash": 7, "noise_scale": 100.0})
    tracked.close()
    again = Tracked(package, tmp_path)
    again.log("evaluate", 8, {"top1": 0.5})
    axes = [("axis", "step", None), ("axis", "*", "step")] if package == "wandb" else []
    assert [call for call in calls if call[0] == "axis"] == 2 * axes
    first, figures, finish, second, scores = (call for call in calls if call[0] != "axis")
    step = {"step": 4} if package == "wandb" else {}  # a field: W&B's own step may not go back
    assert first[1]["project"] == "efficienttrain" and first[1]["config"] == {"model": "net"}
    assert figures == (None if step else 4, {"train/loss": 1.5, "train/noise_scale": 100.0, **step})
    assert finish == "finish" and scores == (
        None if step else 8,
        {"evaluate/top1": 0.5, **({"step": 8} if step else {})},
    )
    assert second[1]["resume"] == "allow" and second[1].get("id") == first[1].get("id")
    assert ("id" in first[1]) == (package == "wandb")


def test_the_real_weights_and_biases_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracked = Tracked("wandb", tmp_path)
    for step in (9, 1):  # a run that was resumed from an earlier checkpoint
        tracked.log("train", step, {"loss": 2.0})
    tracked.close()
    assert (tmp_path / "wandb.id").read_text()


def test_trackers_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(tmp_path, tmp_path / "run", track="tensorboard,aim")
    with pytest.raises(ValueError, match="`track` must be names of tensorboard, wandb, trackio with commas, or none"):
        check_trackers(asked)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="`track` asks for trackio, which is not installed; pip install trackio"):
        check_trackers(config(tmp_path, tmp_path / "run", track="trackio"))
    check_trackers(config(tmp_path, tmp_path / "run", track="none"))


def test_tensorboard_gets_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    (tmp_path / "run").mkdir()
    (board,) = trackers(config(tmp_path, tmp_path / "run"))
    board.log("train", 3, {"loss": 2.0, "lr": 0.1, "images": 64})
    board.log("evaluate", 3, {"top1": 0.5})
    board.close()
    assert Writer.scalars == [("train/loss", 2.0, 3), ("train/lr", 0.1, 3), ("evaluate/top1", 0.5, 3), ("closed", 0, 0)]
    assert (tmp_path / "run" / "tensorboard").is_dir()


def test_without_tensorboard_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert trackers(config(tmp_path, tmp_path / "run")) == []
    assert capsys.readouterr().err.count("TensorBoard is not installed") == 1
