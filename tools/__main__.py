"""python -m tools {convert,verify,extract,inspect,synth,demo}: each is the module of that name beside this one."""

from __future__ import annotations

import sys

from efficienttrain.console import execute

COMMANDS = {
    "convert": "a folder of images into a pyramid beton",
    "verify": "check every record of a beton",
    "extract": "write one level of a pyramid as an FFCV beton",
    "inspect": "facts of a beton, and one sample at every station",
    "synth": "make a labelled JPEG data set",
    "demo": "make, convert, load, train and show, in three minutes",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (found damage), 2 (wrong argument or data), 130 (Ctrl-C)."""
    return execute("python -m tools", "tools", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
