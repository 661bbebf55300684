from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from efficienttrain.__main__ import main
from efficienttrain.console import discover, parser_of
from tests.command_lines import command_lines

COMMANDS = discover("efficienttrain.commands")


def test_no_command_and_an_unknown_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["fly"]):
        with pytest.raises(SystemExit) as refusal:
            main(argv)
        assert refusal.value.code == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


def examples(text: str) -> list[tuple[str, list[str]]]:
    """The lines under `examples:` in a help text."""
    shown = re.search(r"^examples:\n((?:  .*\n)+)", text, re.MULTILINE)
    assert shown is not None, text
    return command_lines(shown[1])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_reads_as_one_family(command: str) -> None:
    parser = parser_of("efficienttrain", command, COMMANDS[command])
    summary, blank, *_ = (parser.description or "").splitlines()
    assert summary.endswith(".") and blank == "" and len(summary) < 120
    assert all(len(line) <= 120 for line in (parser.description or "").splitlines())
    for action in parser._actions:
        assert action.help or action.choices, f"{action.option_strings or action.dest} has no help"
        if action.nargs != 0 and action.option_strings:
            assert action.metavar or action.choices, f"{action.option_strings} has no metavar"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_help_are_valid(command: str) -> None:
    parser = parser_of("efficienttrain", command, COMMANDS[command])
    lines = examples(parser.format_help() if command == "benchmark" else parser.description or "")
    assert any(name == command for name, _ in lines)
    for name, words in lines:
        parser_of("efficienttrain", name, COMMANDS[name]).parse_args(words)  # exits if it is not


def test_the_check_of_examples_can_fail() -> None:
    (name, words), *_ = examples("examples:\n  efficienttrain verify a.beton --threads 2   fast\n")
    assert (name, words) == ("verify", ["a.beton", "--threads", "2"])
    with pytest.raises(SystemExit):
        parser_of("efficienttrain", name, COMMANDS[name]).parse_args(words)


def test_an_error_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "resnet50", "--epochs", "0"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: `epochs` must be more than 0, got 0.0.\n"
    assert captured.out == ""


def test_a_file_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--model", "resnet50", "--json", "/no/such/folder.json"]) == 2
    assert capsys.readouterr().err == "error: /no/such/folder.json: No such file or directory\n"


def test_a_schedule_needs_neither_torch_nor_timm() -> None:
    code = (
        "import sys\nfrom efficienttrain.__main__ import main\n"
        "main(['schedule', '--model', 'deit_small'])\n"
        "print({'torch', 'timm', 'matplotlib', 'yaml', 'numba'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "set()"


@pytest.mark.parametrize("words", ["extract --help", "schedule --model resnet50", "--version"])
def test_a_reader_that_ends_first_is_no_error(words: str) -> None:
    """As in `efficienttrain schedule | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "efficienttrain", *words.split()]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # else argparse itself hides the error of a help text
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=buffered, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
