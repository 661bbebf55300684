"""Our `loaders` is found also where the name belongs to somebody else's module or package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import loaders
from efficienttrain import Loader, _loaders, convert
from efficienttrain.console import discover

ROOT = Path(__file__).resolve().parents[2]


def test_where_nothing_shadows_it_the_classes_are_the_same() -> None:
    assert Loader is loaders.Loader and convert is loaders.convert
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = _loaders.nonsense


@pytest.mark.parametrize("theirs", ["loaders.py", "loaders/__init__.py"])
def test_a_projects_own_loaders(theirs: str, tmp_path: Path) -> None:
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).write_text("MINE = 7\n")
    script = f"import sys; sys.path.insert(1, {str(ROOT)!r})\nimport loaders, efficienttrain\n"
    script += "from efficienttrain._loaders import LoaderError, Purpose, package\n"
    script += "print(loaders.MINE, efficienttrain.Loader.__module__, LoaderError.__module__, package().__name__)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name = _loaders.SECOND_NAME
    assert done.stdout.split() == ["7", f"{name}.loader", f"{name}.errors", name]


def test_commands_are_found_and_helpers_are_not() -> None:
    found = discover("efficienttrain.commands")
    assert {"convert", "verify", "inspect", "extract", "train", "schedule", "search", "pretrain", "benchmark"} <= set(
        found
    )
    assert "options" not in found and all(command.summary for command in found.values())
