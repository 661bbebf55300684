"""`import loaders` stays light: none of the heavy packages is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "nvidia.dali", "ffcv", "numba", "PIL", "matplotlib", "torchvision", "cv2", "timm", "yaml")


def loaded_after(statement: str) -> set[str]:
    """Those of HEAVY that a fresh Python has loaded after running `statement`."""
    script = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_import_loaders_is_light() -> None:
    assert loaded_after("import loaders") == set()


def test_import_efficienttrain_is_light() -> None:
    assert loaded_after("import efficienttrain") == set()


@pytest.mark.parametrize(
    "command", ["convert", "verify", "inspect", "extract", "parts", "schedule", "plan_run", "doctor"]
)
def test_commands_that_need_no_torch_do_not_import_it(command: str) -> None:
    assert "torch" not in loaded_after(f"import efficienttrain.commands.{command}")


@pytest.mark.parametrize("heavy", ["PIL", "matplotlib"])
def test_the_check_can_fail(heavy: str) -> None:
    assert heavy in loaded_after(f"import loaders, {heavy}")
