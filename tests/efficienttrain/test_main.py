from __future__ import annotations

import subprocess
import sys

import pytest

from efficienttrain.__main__ import main
from efficienttrain.console import discover

COMMANDS = discover("efficienttrain.commands")


def test_no_command_and_an_unknown_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["fly"]):
        with pytest.raises(SystemExit) as refusal:
            main(argv)
        assert refusal.value.code == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert (
        shown.startswith(f"usage: efficienttrain {command} ")
        and f"efficienttrain {command}" in shown.partition("\n\n")[2]
    )


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
