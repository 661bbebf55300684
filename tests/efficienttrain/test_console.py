from __future__ import annotations

import errno
import sys
from types import ModuleType

import pytest

from efficienttrain.console import Command, Parser, describe, execute
from loaders import LoaderError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("x:\n  cut  short"), "x: cut short"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError(errno.ENOSPC, "no room to write x"), "no room to write x"),
        (FileNotFoundError("x: no such folder"), "x: no such folder"),
    ],
)
def test_errors_are_one_line(error: Exception, line: str) -> None:
    assert describe(error) == line


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        (1, 1, ""),
        (ValueError("no"), 2, "error: no\n"),
        (LoaderError("bad"), 2, "error: bad\n"),
        (
            ModuleNotFoundError("No module named 'timm'", name="timm.layers"),
            2,
            "error: `toys fly` needs timm, which is not installed; pip install 'efficienttrain[train]'.\n",
        ),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C\n"),
    ],
)
def test_every_ending_has_its_status(
    ending: int | BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fly(ending, monkeypatch) == status
    assert capsys.readouterr().err == said


def test_a_missing_module_that_is_not_optional_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        fly(ModuleNotFoundError("No module named 'efficienttrain.wings'", name="efficienttrain.wings"), monkeypatch)


def fly(ending: int | BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a command that ends in this way."""

    def run(args: object) -> int:  # noqa: ARG001
        if isinstance(ending, BaseException):
            raise ending
        return ending

    module = ModuleType("toys.fly")
    vars(module).update(add_arguments=lambda parser: parser.add_argument("--high"), run=run)
    monkeypatch.setitem(sys.modules, "toys", ModuleType("toys"))
    monkeypatch.setitem(sys.modules, "toys.fly", module)
    return execute("toys", {"fly": Command("toys.fly", "up")}, ["fly", "--high", "1"])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--hihg", "1"], "unrecognized arguments: --hihg; did you mean `--high`?"),
        (["--hi", "1"], "unrecognized arguments: --hi; did you mean `--high`?"),  # not taken for `--high`
        (["--far", "1"], "unrecognized arguments: --far"),
        (["--order", "shufled"], "did you mean `shuffled`?"),
        (["--high"], "argument --high: expected one argument"),
    ],
)
def test_a_wrong_word_is_told_in_three_lines(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="toys fly")
    parser.add_argument("--high", metavar="M")
    parser.add_argument("--order", choices=("shuffled", "source"))
    parser.add_argument("bird", nargs="?")
    with pytest.raises(SystemExit) as refusal:
        parser.parse_args(words)
    usage, what, remedy = capsys.readouterr().err.splitlines()
    assert refusal.value.code == 2 and usage == "usage: toys fly [options] BIRD"
    assert what.startswith("error: ") and what.endswith(error) and remedy == "`toys fly --help` explains the arguments."
