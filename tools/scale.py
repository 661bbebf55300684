"""Renew the plans in docs/scale.md: the output of each `efficienttrain plan-run` that the page shows.

python -m tools scale                      writes docs/scale.md
"""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from efficienttrain.commands import plan_run

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
PROMPT = "$ efficienttrain plan-run "


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(_args: argparse.Namespace) -> int:
    """Runs `python -m tools scale`."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


def renewed(page: str) -> str:
    """The page with the output of every command that it shows after a prompt."""
    block = re.compile(rf"```\n{re.escape(PROMPT)}(.*)\n[^`]*```")
    return block.sub(lambda match: f"```\n{PROMPT}{match[1]}\n{output(match[1])}\n```", page)


def output(options: str) -> str:
    """The command's output."""
    parser = argparse.ArgumentParser()
    plan_run.add_arguments(parser)
    args = parser.parse_args(shlex.split(options))
    return plan_run.text(plan_run.planned(args), args)
