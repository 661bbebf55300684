"""python -m tools COMMAND, from a checkout: the modules here, and the data commands of `efficienttrain`."""

from __future__ import annotations

import sys

from efficienttrain.console import Command, discover, execute

SHARED = ("convert", "verify", "inspect", "extract")


def commands() -> dict[str, Command]:
    """The modules beside this one, and those that `efficienttrain` has under the same names."""
    installed = discover("efficienttrain.commands")
    return {name: installed[name] for name in SHARED} | discover("tools")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (found damage), 2 (wrong argument or data), 130 (Ctrl-C)."""
    return execute("python -m tools", commands(), argv)


if __name__ == "__main__":
    sys.exit(main())
