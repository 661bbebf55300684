"""Interleaving, the stopping of everyone else, statistics, and contestants that fail, with made-up contestants."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.harness.contestant import Job
from benchmarks.harness.measure import ROOT, Child, Failed, Missing, interleave, ratio, summary

FAKES = "tests.benchmarks.fakes"


def job(work: Path, name: str, rate: float = 10.0) -> Job:
    return Job(name, 16, 1, 1, "", "", str(work), options={"rate": rate})


def start(work: Path, name: str, function: str = "build", **rest: float) -> Child:
    return Child(f"{FAKES}:{function}", job(work, name), log=work / f"{name}.log", **rest)


def diary(work: Path, name: str, what: str) -> list[list[float]]:
    lines = (line.split() for line in (work / f"{name}.diary").read_text().splitlines())
    return [list(map(float, words[1:])) for words in lines if words[0] == what]


def test_rounds_are_interleaved_and_everyone_else_is_stopped(tmp_path: Path) -> None:
    children = [start(tmp_path, name) for name in "abc"]
    try:
        answers = interleave(children, rounds=3, seconds=0.05)
    finally:
        for child in children:
            child.close()
    rounds = sorted((begin, end, name) for name in "abc" for begin, end in diary(tmp_path, name, "round"))
    assert "".join(name for _, _, name in rounds) == "abc" + "abc" + "bca" + "cab"  # warm-up, then rotated
    assert all(end <= begin for (_, end, _), (begin, _, _) in pairwise(rounds))
    for name in "abc":
        others = [(begin, end) for begin, end, other in rounds if other != name]
        heard = [moment for (moment,) in diary(tmp_path, name, "alive")]
        assert len(heard) > 10
        assert not [moment for moment in heard for begin, end in others if begin < moment < end]
    assert [[answer["images"] for answer in given] for given in answers] == [[1000] * 3] * 3
    assert answers[0][0]["anonymous_mb"] > 1


def test_a_child_reports_what_it_is(tmp_path: Path) -> None:
    child = start(tmp_path, "a")
    child.close()
    assert child.ready["output"] == "uint8 1x16x16x3"
    assert child.ready["facts"]["stored_bytes"] == 100.0
    assert "libraries print" in (tmp_path / "a.log").read_text()
    with pytest.raises(ProcessLookupError):
        os.killpg(child._process.pid, 0)


def test_preparation_answers_and_does_its_work(tmp_path: Path) -> None:
    start(tmp_path, "a", "prepare").close()
    assert (tmp_path / "prepared").read_text() == "a"


def test_missing_failing_and_silent_contestants(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"No module named 'fast'"):
        start(tmp_path, "a", "missing")
    with pytest.raises(Failed, match=r"^a at B=16: ValueError: this cannot work$"):
        start(tmp_path, "a", "failing")
    with pytest.raises(Failed, match="a at B=16: no answer within 1 s"):
        start(tmp_path, "a", "silent", patience=1.0)


def test_a_child_that_dies_is_named(tmp_path: Path) -> None:
    child = start(tmp_path, "a")
    os.killpg(child._process.pid, 9)
    with pytest.raises(Failed, match="a at B=16: its process ended"):
        child.round(0.01)


def test_summary_and_ratio() -> None:
    assert summary([5.0, 1.0, 2.0, 4.0, 3.0]) == {"median": 3.0, "q1": 2.0, "q3": 4.0}
    # The machine was half as fast in the second round: ratios inside rounds do not notice.
    assert ratio([60.0, 30.0], [10.0, 5.0], [5.0, 2.5])["median"] == 6.0
    # The faster of both is taken round by round.
    assert ratio([60.0, 60.0], [10.0, 20.0], [20.0, 10.0]) == {"median": 3.0, "q1": 3.0, "q3": 3.0}


def test_stopped_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
from tests.benchmarks.harness.test_measure import start
print(*[start(Path({str(tmp_path)!r}), name)._process.pid for name in "ab"], flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert [state(pid) for pid in pids] == ["T", "T"]
        parent.kill()
    deadline = time.monotonic() + 10
    while any(state(pid) not in ("", "Z") for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state(pid: int) -> str:
    """The process's state letter as /proc knows it, "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
