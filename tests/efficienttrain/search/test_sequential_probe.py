from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from efficienttrain.recipe import recipe
from efficienttrain.search.sequential_probe import Opening, discard
from efficienttrain.step_schedule import Schedule
from efficienttrain.training import checkpoint


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
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"identity": {}}, best=True)
    (tmp_path / "log.jsonl").touch()
    discard(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
