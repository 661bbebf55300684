from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from efficienttrain.commands import verify
from tools.__main__ import commands, main

COMMANDS = commands()

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("arguments", [[], ["convort"], ["convert"], ["verify", "a", "b"]])
def test_wrong_commands_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m tools" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "run", interrupted)
    assert main(["verify", "x"]) == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_help_needs_nothing_heavy() -> None:
    script = "import sys\nfrom tools.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    script += "assert not {'numpy', 'torch', 'PIL'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f"  {command}" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"python -m tools {command}" in capsys.readouterr().out
