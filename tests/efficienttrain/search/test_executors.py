from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from efficienttrain.search import Choice, Local, OnRay, Plan, Probe
from efficienttrain.search.executors import Executor, start
from efficienttrain.search.task import write
from tests.efficienttrain.search.toys import small

TOYS = f"{__name__.rpartition('.')[0]}.toys"


def folders(tmp_path: Path, function: str, count: int = 1) -> list[Path]:
    """Probes that wait to be run."""
    plan = Plan("sequential", small(), f"{TOYS}:{function}", tune=0.1)
    probes = [Probe((Choice(resolution, 1),), 0) for resolution in (96, 160, 224)[:count]]
    tasks = [plan.task(probe, tmp_path) for probe in probes]
    for task in tasks:
        write(task)
    return [task.folder for task in tasks]


@pytest.mark.parametrize("visible", [None, "3,5"])
def test_workers_share_the_gpus(visible: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    results = dict(Local(2, ["3", "5"]).run(folders(tmp_path, "device", 2)))
    assert sorted(result["score"] for result in results.values()) == [3, 5]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("broken", "the loss must be finite, got nan in 96 px (all it said: "),
        ("endless", "a score must be a finite number, got nan from "),
        ("absent", "`rule` must be package.module:function"),
    ],
)
def test_a_failure_is_its_last_line(tmp_path: Path, function: str, message: str) -> None:
    ((folder, result),) = Local().run(folders(tmp_path, function))
    assert result["error"].startswith(message)
    assert str(folder / "output.txt") in result["error"]


def test_probes_side_by_side_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as processors altogether, not as many in each probe."""
    monkeypatch.setattr("efficienttrain.search.executors.available_processors", lambda: 64)
    monkeypatch.setenv("EFFICIENTTRAIN_CPUS", "64")
    environments = Local(16)._environments
    assert {environment["EFFICIENTTRAIN_CPUS"] for environment in environments} == {"4"}
    assert Local(1)._environments[0]["EFFICIENTTRAIN_CPUS"] == "64"


def test_a_search_that_stops_ends_its_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def watched(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        begun.append(start(folder, environment))
        return begun[-1]

    monkeypatch.setattr("efficienttrain.search.executors.start", watched)
    running = Local(2).run(folders(tmp_path, "broken", 2))
    next(running)
    running.close()
    assert all(process.poll() is not None for process in begun)
    assert begun[1].stdin is not None and begun[1].stdin.closed


def test_no_worker() -> None:
    with pytest.raises(ValueError, match="`workers` must be at least 1, got 0"):
        Local(0)


def test_without_ray_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"^`--ray` needs Ray, which is not installed: pip install ray$"):
        OnRay()


def test_ray_is_asked_for_every_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with Ray's interface, which runs a task when it is waited for."""
    seen: dict[str, Any] = {"cancelled": []}

    def remote(**options: Any) -> Any:
        seen.update(options)
        return lambda function: SimpleNamespace(remote=lambda folder: (function, folder))

    stand_in = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **options: seen.update(options),
        remote=remote,
        wait=lambda pending: ([pending[0]], pending[1:]),
        get=lambda task: task[0](task[1]),
        cancel=lambda task, force: seen["cancelled"].append((task[1].name, force)),
    )
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    executor: Executor = OnRay("auto", gpus=0.5, cpus=3)
    assert (seen["address"], list(executor.run([]))) == ("auto", [])
    waiting = folders(tmp_path, "rule", 2)
    (tmp_path.parent / "wait").unlink(missing_ok=True)
    running = executor.run(waiting)
    folder, result = next(running)
    assert (folder, seen["num_gpus"], seen["num_cpus"], result["score"]) == (waiting[0], 0.5, 3, 1.0)
    running.close()
    assert seen["cancelled"][-1] == (waiting[1].name, True)
