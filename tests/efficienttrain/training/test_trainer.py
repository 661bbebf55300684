from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from efficienttrain.training import train
from efficienttrain.training import trainer as loop
from efficienttrain.training.checkpoint import checkpoints
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.logbook import read
from efficienttrain.training.train_state import TrainState
from efficienttrain.training.trainer import crosses
from tests.efficienttrain.training.runs import NETWORKS, config, curve

ROOT = Path(__file__).resolve().parents[3]
REPLAYED = ", replay: 2, replay_buffer: 5"


class Crash(Exception):
    """Stands for a kill: nothing of the training catches it."""


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Lets the next training die before this step."""
    advance = loop.Trainer.advance

    def advance_or_die(self: loop.Trainer) -> None:
        if self.step == step:
            raise Crash
        advance(self)

    monkeypatch.setattr(loop.Trainer, "advance", advance_or_die)


@pytest.mark.parametrize(
    ("replay", "options"),
    [
        ("", {}),
        ("", {"model": f"{NETWORKS}:positioned", "ema": 0.9, "micro_batch": 4}),
        (REPLAYED, {"mixup": 0.8, "cutmix": 1.0, "reprob": 0.25}),
    ],
    ids=["plain", "resized-ema-accumulated", "replay-mixed-erased"],
)
def test_a_run_that_died_goes_on_as_if_it_had_not(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replay: str, options: dict[str, Any]
) -> None:
    straight = train(config(jpeg_folder, tmp_path / "straight", stage_replay=replay, **options))
    wanted = curve(tmp_path / "straight")
    died = config(jpeg_folder, tmp_path / "died", stage_replay=replay, **options)
    for step in (7, 13, len(wanted) - 1):
        with monkeypatch.context() as patch, pytest.raises(Crash):
            crash_at(patch, step)
            train(died)
    resumed = train(died)
    assert curve(tmp_path / "died") == wanted
    assert (resumed.top1, resumed.best) == (straight.top1, straight.best)


@pytest.mark.slow
def test_kill_9_loses_nothing(jpeg_folder: Path, tmp_path: Path) -> None:
    straight = config(jpeg_folder, tmp_path / "straight", epochs=6.0)
    train(straight)
    wanted, out = curve(tmp_path / "straight"), tmp_path / "killed"
    asked = json.dumps({**vars(straight), "out": str(out)})
    script = f"import json; from efficienttrain.training import *; train(Config(**json.loads({asked!r})))"
    for until in (5, 20):
        child = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL)
        while child.poll() is None and not ((out / "log.jsonl").exists() and len(curve(out)) >= until):
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert len(curve(out)) < len(wanted)
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
    got = curve(out)
    assert [(step, digest) for step, _, digest in got] == [(step, digest) for step, _, digest in wanted]
    assert [loss for _, loss, _ in got] == pytest.approx([loss for _, loss, _ in wanted], abs=1e-5)


def test_accumulation_changes_nothing(jpeg_folder: Path, tmp_path: Path) -> None:
    losses = []
    for micro in (8, 4, 2):
        train(config(jpeg_folder, tmp_path / str(micro), micro_batch=micro, model=f"{NETWORKS}:still"))
        losses.append([loss for _, loss, _ in curve(tmp_path / str(micro))])
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert losses[2] == pytest.approx(losses[0], abs=1e-5)


def test_out_of_memory_halves_the_micro_batch(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"model": f"{NETWORKS}:still"}
    train(config(jpeg_folder, tmp_path / "small", micro_batch=2, **options))
    forward = torch.nn.GroupNorm.forward

    def greedy(self: torch.nn.GroupNorm, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 2 and self.training:
            raise torch.cuda.OutOfMemoryError("as if")
        return forward(self, images)

    monkeypatch.setattr(torch.nn.GroupNorm, "forward", greedy)
    train(config(jpeg_folder, tmp_path / "greedy", micro_batch=8, **options))
    layouts = [(line["stage"], line["micro"]) for line in read(tmp_path / "greedy") if line["kind"] == "layout"]
    assert layouts == [(stage, micro) for stage in range(3) for micro in (8, 4, 2)]
    assert "micro-batches of 8; now 4" in capsys.readouterr().err
    small, big = curve(tmp_path / "small"), curve(tmp_path / "greedy")
    assert [loss for _, loss, _ in big] == pytest.approx([loss for _, loss, _ in small], abs=1e-5)


def test_no_memory_even_for_one_sample_is_said(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(self: torch.nn.GroupNorm, images: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        raise torch.cuda.OutOfMemoryError("as if")

    monkeypatch.setattr(torch.nn.GroupNorm, "forward", starved)
    with pytest.raises(ValueError, match="out of GPU memory with a micro-batch of 1"):
        train(config(jpeg_folder, tmp_path / "run"))


def test_no_memory_later_on_is_said(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(self: TrainState, rate: float) -> None:  # noqa: ARG001
        raise torch.cuda.OutOfMemoryError("as if")

    monkeypatch.setattr(TrainState, "update", starved)
    with pytest.raises(ValueError, match="repeat the command with a smaller --micro-batch"):
        train(config(jpeg_folder, tmp_path / "run"))


def test_what_a_run_leaves(jpeg_folder: Path, tmp_path: Path) -> None:
    result = train(config(jpeg_folder, tmp_path / "run", ema=0.9))
    assert {path.name for path in result.out.iterdir()} >= {"best.pt", "log.jsonl", "report.json"}
    assert len(checkpoints(result.out)) == 2
    assert result.top1 is not None and result.ema_top1 is not None and result.best is not None
    assert result.best >= max(result.top1, result.ema_top1)
    marks = [line["progress"] for line in read(result.out) if line["kind"] == "evaluate"]
    assert marks == pytest.approx([0.5, 1.0], abs=0.06)
    again = train(config(jpeg_folder, tmp_path / "run", ema=0.9))  # finished: nothing is trained once more
    assert again.report == result.report


def test_a_checkpoint_of_another_model_is_refused(jpeg_folder: Path, tmp_path: Path) -> None:
    train(config(jpeg_folder, tmp_path / "run", epochs=0.5))
    with pytest.raises(ValueError, match=r"run holds a training with model = .*:tiny'.*--out"):
        train(config(jpeg_folder, tmp_path / "run", epochs=0.5, model=f"{NETWORKS}:still"))


def test_a_file_is_no_folder_for_a_run(jpeg_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(NotADirectoryError, match="run: `out` must be the folder of the run, is a file"):
        train(config(jpeg_folder, tmp_path / "run"))
    assert (tmp_path / "run").read_text() == "mine"


def test_a_loss_that_is_no_number_stops_the_run(jpeg_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loss must be finite, got nan before step"):
        train(config(jpeg_folder, tmp_path / "run", lr=1e30, optimizer="sgd"))


def test_an_evaluation_that_is_no_number_stops_the_run_before_it_is_saved(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "evaluate", lambda *_: {"top1": 0.0, "loss": float("nan"), "top1_stage": 0.0})
    with pytest.raises(ValueError, match=r"loss must be finite, got nan before step .* smaller --lr"):
        train(config(jpeg_folder, tmp_path / "run"))
    assert not (tmp_path / "run" / "best.pt").exists()


def test_replay_auto_engages_where_the_loader_is_slow(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efficienttrain.training.auto_replay.SETTLING", 1)
    monkeypatch.setattr("efficienttrain.training.auto_replay.MEASURED", 2)
    monkeypatch.setattr("efficienttrain.training.meter.Clock.lap", lambda _: (1.0, 0.7))
    result = train(config(jpeg_folder, tmp_path / "run", replay="auto"))
    assert [row["factor"] for row in result.report["stages"]] == [4, 4, 4]
    assert result.report["loaded"] < 0.6 * result.report["images"]


def test_the_replay_buffer_counts_steps_however_many_micro_batches_they_have(jpeg_folder: Path, tmp_path: Path) -> None:
    for micro in (8, 4):
        asked = config(jpeg_folder, tmp_path / f"{micro}", stage_replay=REPLAYED, micro_batch=micro)
        with loop.Trainer(asked, Ranks(0, 1, torch.device("cpu"))) as trainer:
            trainer.step = trainer.schedule.steps[0]
            trainer.enter()
            for _ in range(7):
                trainer.advance()
            held = trainer.feed.state_dict()["held"]
            assert len(held) == 5 * 8 // micro == 5 * trainer.layout.accumulation


@pytest.mark.parametrize(
    ("before", "after", "crossed"),
    [(0.0, 0.04, False), (0.04, 0.05, True), (0.05, 0.06, False), (0.98, 1.0, True), (0.0, 1.0, True)],
)
def test_intervals_are_shares_of_the_compute(before: float, after: float, crossed: bool) -> None:
    assert crosses(before, after, 0.05) is crossed


@pytest.mark.gpu
def test_a_resumed_optimizer_counts_its_steps_on_the_cpu(jpeg_folder: Path, tmp_path: Path) -> None:
    asked = config(jpeg_folder, tmp_path / "run", device="cuda", epochs=0.5)
    train(asked)  # on the GPU every count would be waited for
    with loop.Trainer(asked, Ranks(0, 1, torch.device("cuda", 0))) as trainer:
        states = trainer.train_state.optimizer.state.values()
        assert {state["step"].device.type for state in states} == {"cpu"}
        assert {state["exp_avg"].device.type for state in states} == {"cuda"}
