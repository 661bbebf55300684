"""Progress in a log that is no terminal: lines, and few of them."""

from __future__ import annotations

import io

import pytest

from loaders import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, every: float) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "EVERY", every)
    with progress.progress_bar(True, total=3, desc="convert") as bar:
        for _ in range(3):
            bar.update()
    return stream.getvalue()


def test_a_short_operation_leaves_a_log_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch, 30.0) == ""


def test_each_refresh_of_a_long_operation_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(io.StringIO(), monkeypatch, 0.0).splitlines(keepends=True)
    assert all(line.startswith("convert: ") and line.endswith("\n") and "\r" not in line for line in lines)
    assert "3/3" in lines[-1]


def test_a_terminal_has_a_moving_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\rconvert: " in shown(Terminal(), monkeypatch, 30.0)


def test_none_if_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    progress.progress_bar(False, total=1).update()
    assert capsys.readouterr().err == ""
