"""Sizes and times of many files: the same one after the other and by threads."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from loaders.sources import file_stats as module
from loaders.sources.file_stats import file_stats


def test_threads_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(tmp_path / f"{k}") for k in range(40)]
    for k, path in enumerate(paths[:-1]):
        Path(path).write_bytes(b"x" * k)
    wanted = [(os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths[:-1]] + [(0, 0)]
    monkeypatch.setattr(module, "PROBE", 3)
    monkeypatch.setattr(module, "BLOCK", 4)
    monkeypatch.setattr(module, "SLOW", 10.0)
    assert file_stats(paths) == wanted
    monkeypatch.setattr(module, "SLOW", 0.0)
    assert file_stats(paths) == wanted
    assert file_stats([]) == []


def test_a_slow_file_system_is_asked_many_times_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE", 2)
    monkeypatch.setattr(module, "BLOCK", 1)
    monkeypatch.setattr(module, "SLOW", 0.0)
    together = threading.Barrier(8)

    def slow(path: str) -> tuple[int, int]:
        if int(path) >= 2:
            together.wait(10)  # ends only once eight files are asked at the same time
        return int(path), 0

    monkeypatch.setattr(module, "_stat", slow)
    assert file_stats([str(k) for k in range(10)]) == [(k, 0) for k in range(10)]
