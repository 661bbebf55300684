"""Measure speed, fidelity and trainings, against the loaders in use today.

Reports are tables on the terminal; `--json` saves them with the machine's description.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]
"""The folder that holds the package `efficienttrain`: a checkout, or site-packages."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that the benchmarks have; see `efficienttrain benchmark NAME --help`."""
    _command_line().add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain benchmark`."""
    return int(_command_line().run(args))


def _command_line() -> Any:
    """benchmarks/__main__.py: in a checkout the package `benchmarks`, in a wheel `efficienttrain.benchmarks`.

    HOME comes first on the path, so that packages called `benchmarks` or `loaders` elsewhere do not stand in for ours.
    """
    if str(HOME) not in sys.path[:1]:
        sys.path.insert(0, str(HOME))
    checkout = (HOME / "benchmarks" / "harness").is_dir()
    return importlib.import_module(f"{'benchmarks' if checkout else 'efficienttrain.benchmarks'}.__main__")
