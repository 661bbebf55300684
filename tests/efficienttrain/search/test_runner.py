from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from efficienttrain.search import Plan, ProbeFailed, Space, run_search
from efficienttrain.search.executors import Result
from efficienttrain.search.probe_log import LOG, read
from efficienttrain.search.task import load_rule
from efficienttrain.search.task import read as read_task
from tests.efficienttrain.search.toys import FULL, enough, near, small

RULE = f"{__name__.rpartition('.')[0]}.toys:rule"

SEARCH = """
from pathlib import Path
from efficienttrain.search import Local, Plan, Space
from efficienttrain.search import run_search
run_search(Plan("sequential", Space(3, (96, 160, 224)), "{rule}"), Path("{out}"), Local(2))
"""


class Closed:
    """Answers in closed form, at most `patience` times; remembers what it was asked."""

    def __init__(self, patience: int = 1000, error: str = "") -> None:
        self.asked: list[str] = []
        self.patience, self.error = patience, error

    def run(self, folders: Sequence[Path]) -> Generator[tuple[Path, Result], None, None]:
        for folder in reversed(folders):  # they end in any order
            self.asked.append(folder.name)
            if len(self.asked) > self.patience:
                if self.error:
                    yield folder, {"error": self.error}
                raise KeyboardInterrupt
            task = read_task(folder)
            score = (enough if task.pace == "passes" else near)([stage.resolution for stage in task.stages])
            yield folder, {"score": score, "seconds": 0.1}


@pytest.mark.parametrize(("algorithm", "pace"), [("greedy", "passes"), ("sequential", "compute")])
def test_an_interrupted_search_repeats_nothing(tmp_path: Path, algorithm: str, pace: str) -> None:
    plan = Plan(algorithm, Space(5, FULL, pace=pace), RULE)
    whole = Closed()
    found = run_search(plan, tmp_path / "whole", whole)
    finished: list[str] = []
    for _ in range(len(whole.asked)):
        executor = Closed(patience=3)
        try:
            again = run_search(plan, tmp_path / "parts", executor)
        except KeyboardInterrupt:
            finished += executor.asked[:3]
        else:
            finished += executor.asked
            break
    assert again == found
    assert sorted(finished) == sorted(whole.asked)
    assert [line.get("key") for line in read(tmp_path / "parts")][1:-1] == finished
    assert read(tmp_path / "parts")[-1] == read(tmp_path / "whole")[-1]


def test_what_was_finished_is_shown_again(tmp_path: Path) -> None:
    plan = Plan("sequential", small(), RULE)
    first: list[object] = []
    second: list[object] = []
    run_search(plan, tmp_path, Closed(), show=first.append)
    done = Closed()
    run_search(plan, tmp_path, done, show=second.append)
    assert first == second
    assert done.asked == []


def test_a_probe_that_fails_stops_the_search_and_can_be_mended(tmp_path: Path) -> None:
    plan = Plan("sequential", small(), RULE)
    with pytest.raises(ProbeFailed, match=r"probe 160m2\.33333: out of memory"):
        run_search(plan, tmp_path, Closed(patience=1, error="out of memory"))
    rest = Closed()
    run_search(plan, tmp_path, rest)
    assert "160m2.33333" in rest.asked and "224m2.33333" not in rest.asked


def test_another_plan_is_refused(tmp_path: Path) -> None:
    run_search(Plan("sequential", small(), RULE), tmp_path, Closed())
    with pytest.raises(ValueError, match=r"a search with tune = 0\.0, now it is 0\.1"):
        run_search(Plan("sequential", small(), RULE, tune=0.1), tmp_path, Closed())


def test_a_killed_process_leaves_nothing_running_and_repeats_nothing(tmp_path: Path) -> None:
    """With real processes and SIGKILL, amid the second stage."""
    command = [sys.executable, "-c", SEARCH.format(rule=RULE, out=tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    (tmp_path / "wait").touch()
    with subprocess.Popen(command, env=environment) as process:
        asked = tmp_path / "probes" / "asked.txt"
        deadline = time.monotonic() + 120
        while not (asked.exists() and len(asked.read_text().split()) == 5):
            assert time.monotonic() < deadline and process.poll() is None, process.poll()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert len(read(tmp_path)) == 1 + 3  # three finished, two were under way
    time.sleep(0.3)
    (tmp_path / "wait").unlink()
    time.sleep(0.3)
    assert not list(tmp_path.glob("probes/*-*/result.json"))  # the two have died with their parent
    subprocess.run(command, env=environment, check=True, timeout=120)
    lines = read(tmp_path)
    assert [resolution for resolution, _ in lines[-1]["choices"]] == [96, 160, 224]
    keys = [line["key"] for line in lines if line["kind"] == "probe"]
    names = asked.read_text().split()
    assert len(keys) == len(set(keys)) == 3 + 3 + 2
    assert all(names.count(key) == 1 for key in keys if key.count("-") != 1)
    assert (tmp_path / LOG).read_text().count('"begin"') == 1


def test_a_result_that_was_not_noted_down_is_taken(tmp_path: Path) -> None:
    from efficienttrain.search.probe_process import work

    plan = Plan("sequential", small(), RULE)
    with pytest.raises(KeyboardInterrupt):
        run_search(plan, tmp_path, Closed(patience=0))
    folder = tmp_path / "probes" / "96m2.33333"
    work(folder)
    work(folder)
    assert (tmp_path / "probes" / "asked.txt").read_text().split() == ["96m2.33333"]
    run_search(plan, tmp_path, Closed())
    assert (folder / "result.json").exists()
    (tmp_path / LOG).unlink()  # another search in the same folder must not take it for its own
    run_search(Plan("sequential", small(), RULE, tune=0.1), tmp_path, Closed())
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("name", ["nowhere:f", "math:nothing", "math", "math:pi", ":f", ""])
def test_a_rule_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"`rule` must be package\.module:function"):
        load_rule(name)
