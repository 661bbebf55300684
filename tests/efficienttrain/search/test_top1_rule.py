from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from efficienttrain.recipe import recipe
from efficienttrain.search import Choice, Plan, Probe, Space, run_search
from efficienttrain.search import top1_rule as trial
from efficienttrain.search.executors import Result
from efficienttrain.search.probe_process import work
from efficienttrain.search.task import Task, write
from efficienttrain.search.top1_rule import Opening, discard
from efficienttrain.step_schedule import Schedule
from efficienttrain.training import checkpoint
from efficienttrain.training.logbook import read
from tests.efficienttrain.training.runs import NETWORKS

RULE = "efficienttrain.search.top1_rule:top1"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread and no pictures, for networks too small for either."""
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: True)  # noqa: ARG005
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def options(data: Path, **changes: Any) -> dict[str, Any]:
    """Of a trainer, for a few steps at 32 and 64 px."""
    return {
        "data": str(data / "train"), "val": str(data / "val"), "model": f"{NETWORKS}:positioned", "size": 64,
        "epochs": 2.0, "batch": 8, "lr": 1e-2, "device": "cpu", "workers": 1, "log_every": 1, "reprob": 0.0,
    } | changes  # fmt: skip


def sequential(data: Path, **changes: Any) -> Plan:
    return Plan("sequential", Space(2, (112, 224)), RULE, 0.1, config=options(data, **changes))


def made(plan: Plan, probe: Probe, folder: Path) -> Task:
    task = plan.task(probe, folder)
    write(task)
    return task


def weights(task: Task) -> dict[str, torch.Tensor]:
    return torch.load(task.folder / trial.KEPT, weights_only=True)["learner"]["model"]


def test_a_stage_from_a_checkpoint_is_trained_as_if_in_one_go(jpeg_folder: Path, tmp_path: Path) -> None:
    plan = sequential(jpeg_folder)
    choices = (Choice(112, 4), Choice(224, 9))
    first = made(plan, Probe(choices[:1], 0), tmp_path / "parts")
    second = made(plan, Probe(choices, 1, begins=1), tmp_path / "parts")
    whole = made(plan, Probe(choices, 1), tmp_path / "whole")
    scores = [trial.top1(task) for task in (first, second, whole)]
    assert all(0 <= score <= 1 for score in scores) and scores[1] == scores[2]
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(second)[name]), name
    assert not torch.equal(weights(whole)["head.weight"], weights(first)["head.weight"])
    steps = [[line for line in read(task.folder / "run") if line["kind"] == "train"] for task in (first, second)]
    assert [len(lines) for lines in steps] == [12 + 1, 3]  # 4 passes at half the size and a tenth of 2; 1 pass
    assert steps[0][12]["lr"] == pytest.approx(steps[1][0]["lr"])
    assert sorted(path.name for path in second.folder.rglob("*.pt")) == [trial.KEPT]


class Here:
    """Runs probes in this process."""

    def run(self, folders: Sequence[Path]) -> Generator[tuple[Path, Result], None, None]:
        for folder in folders:
            work(folder)
            yield folder, {"score": float(folder.name.endswith("m9")), "seconds": 0.0}


def test_a_search_with_the_trainer(jpeg_folder: Path, tmp_path: Path) -> None:
    shown: list[str] = []
    config = options(jpeg_folder, model=f"{NETWORKS}:tiny", epochs=1.0)
    plan = Plan("sequential", Space(2, (112, 224)), RULE, 0.1, config=config)
    found = run_search(plan, tmp_path, Here(), show=lambda line: shown.append(line["key"]))
    assert [choice.resolution for choice in found] == [112, 112]
    assert shown == ["112m4", "224m4", "112m4-112m9", "112m4-224m9"]
    assert (tmp_path / "probes" / shown[-1] / trial.KEPT).exists()


def test_a_greedy_probe_is_a_training_of_2023(jpeg_folder: Path, tmp_path: Path) -> None:
    config = options(jpeg_folder, model="swin_tiny", epochs=300.0, lr=None)
    plan = Plan("greedy", Space(5, (160, 192, 224), pace="passes"), RULE, 0.1, config=config)
    choices = tuple(map(Choice, (160, 160, 160, 192, 224), (1, 3, 5, 7, 9)))
    asked, span = trial.prepared(made(plan, Probe(choices, 4), tmp_path))
    theirs = recipe("swin_tiny", 300, "iccv")
    assert span == pytest.approx(0.653, abs=1e-3)
    ours = recipe("swin_tiny", asked.epochs, asked.curriculum)
    assert ours.epochs == pytest.approx(theirs.epochs)
    assert (ours.pace, ours.drop_path) == ("passes", theirs.drop_path)
    assert ours.warmup == pytest.approx(theirs.warmup)
    for stage, their in zip(ours.stages, theirs.stages, strict=True):
        assert (stage.resolution, stage.magnitude) == (their.resolution, their.magnitude)
        assert stage.compute == pytest.approx(their.compute)


def test_without_evaluation_images_there_is_no_score(jpeg_folder: Path, tmp_path: Path) -> None:
    task = made(sequential(jpeg_folder, val=None), Probe((Choice(112, 4),), 0), tmp_path)
    with pytest.raises(ValueError, match="`val` must name images for evaluation, got none"):
        trial.top1(task)


@pytest.mark.parametrize("done", [0.0, 0.1, 0.3, 0.5])
def test_the_rate_is_the_whole_trainings(done: float) -> None:
    settings = replace(recipe("resnet50", 100, "none"), warmup=0.2)
    stages = tuple(replace(stage, compute=1.0) for stage in settings.stages)
    opening = Opening(stages, 60.0, 1000, 10, span=0.6, tune=0.1)
    whole = Schedule(stages, 100.0, 1000, 10)
    assert opening.lr(done / 0.6, settings) == pytest.approx(whole.lr(done, settings))
    assert opening.lr(1.0, settings) == pytest.approx(settings.min_lr)
    middle = (whole.lr(0.5, settings) + settings.min_lr) / 2
    assert opening.lr(0.55 / 0.6, settings) == pytest.approx(middle)


def test_all_checkpoints_of_a_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for path in (checkpoint.place(tmp_path, 1), checkpoint.place(tmp_path, 2), tmp_path / checkpoint.BEST):
        path.touch()
    (tmp_path / "log.jsonl").touch()
    discard(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
