from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evidence.shared_report import Report, SharedReport, claim


def fresh(**settings: Any) -> Report:
    return {"benchmark": "b", "settings": settings, "runs": [], "count": 0}


def counted(report: Report) -> Report:
    return {**report, "count": len(report["runs"])}


def test_each_process_keeps_what_others_have_added(tmp_path: Path) -> None:
    path, lock = tmp_path / "R.json", tmp_path / "lock"
    one, other = (SharedReport(fresh(size=1), str(path), counted) for _ in range(2))
    one.add("runs", {"seed": 0, "top1": 0.5}, ("seed",), lock)
    other.add("runs", {"seed": 1, "top1": 0.6}, ("seed",), lock)
    one.add("runs", {"seed": 0, "top1": 0.7}, ("seed",), lock)
    assert one.read() == other.read() == json.loads(path.read_text())
    assert one.read()["runs"] == [{"seed": 1, "top1": 0.6}, {"seed": 0, "top1": 0.7}] and one.read()["count"] == 2


def test_without_a_file_the_parts_are_kept(tmp_path: Path) -> None:
    report = SharedReport(fresh(), None, counted)
    report.add("runs", {"seed": 0}, ("seed",), tmp_path / "lock")
    assert report.read()["count"] == 1 and list(tmp_path.glob("*.json")) == []


def test_a_report_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "R.json"
    path.write_text(json.dumps(fresh(size=1, epochs=2)))
    with pytest.raises(ValueError, match="differs in epochs, size"):
        SharedReport(fresh(size=2, epochs=3), str(path), counted)
    with pytest.raises(ValueError, match="differs in its benchmark"):
        SharedReport({**fresh(size=1, epochs=2), "benchmark": "c"}, str(path), counted)


def test_a_claim_excludes_others_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "a.lock"
    with claim(path) as first, claim(path) as second, claim(path.with_name("b.lock")) as another:
        assert (first, second, another) == (True, False, True)
    with claim(path) as later:
        assert later
