"""The memory benchmark: real conversions of a simulated source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.memory import Simulated
from loaders.sources.source import Source


def test_the_simulated_source_is_a_source() -> None:
    source = Simulated(3)
    assert isinstance(source, Source) and len(list(source.samples(1))) == 2
    assert len({sample.name for sample in source.samples()}) == 3


def test_peaks_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "m.json"
    arguments = ["--samples", "10", "300", "--threads", "1", "--work", str(tmp_path), "--json", str(report)]
    assert command.main(["memory", *arguments]) == 0
    rows = json.loads(report.read_text())["results"]
    assert [row["samples"] for row in rows] == [10, 300]
    for row in rows:
        assert row["peak_mb"] >= row["before_mb"] > 0 and row["index_mb"] > 0
    assert "300" in capsys.readouterr().out
