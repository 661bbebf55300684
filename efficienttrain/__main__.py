"""The command `efficienttrain`: every module in commands/ is one of its sub-commands, under the module's name."""

from __future__ import annotations

import sys

from efficienttrain.console import discover, execute


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (failed, or found damage), or as `console.execute` does."""
    return execute("efficienttrain", discover("efficienttrain.commands"), argv, version)


def version() -> str:
    """The text of `efficienttrain --version`."""
    from efficienttrain.commands import doctor

    return doctor.versions()


if __name__ == "__main__":
    sys.exit(main())
