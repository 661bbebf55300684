from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from efficienttrain.search import Choice, Plan, Probe
from efficienttrain.search.task import read, write
from tests.efficienttrain.search.toys import small
from tests.test_imports import loaded_after

PLAN = Plan("sequential", small(), "toys:rule", tune=0.1, config={"epochs": 2.0})
FIRST, SECOND = Choice(96, 1), Choice(160, 3)


def test_a_task_is_read_as_written(tmp_path: Path) -> None:
    task = PLAN.task(Probe((FIRST, SECOND), 1, begins=1), tmp_path)
    assert (task.folder, task.parent) == (tmp_path / "96m1-160m3", tmp_path / "96m1")
    write(task)
    assert read(task.folder) == task


def test_only_what_the_same_task_left_is_kept(tmp_path: Path) -> None:
    task = PLAN.task(Probe((FIRST,), 0), tmp_path)
    write(task)
    (task.folder / "result.json").touch()
    write(task)
    assert (task.folder / "result.json").exists()
    write(replace(task, tune=0.2))
    assert not (task.folder / "result.json").exists()


def test_a_process_for_a_probe_begins_light() -> None:
    assert loaded_after("import efficienttrain.search.probe_process") == set()
