"""A command line whose commands are modules of a package, each with `add_arguments(parser)` and `run(args) -> int`."""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Mapping, Sequence


def execute(prog: str, package: str, commands: Mapping[str, str], argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: its own, 2 (wrong argument or data), 130 (Ctrl-C).

    Args:
        prog: how it is called.
        package: whose modules the commands are; imported when asked for. A module's docstring is its description.
        commands: their names, and what they do in a few words.
        argv: the words after `prog`; None: the process's.
    """
    argv = sys.argv[1:] if argv is None else argv
    raw = argparse.RawDescriptionHelpFormatter
    width = max(map(len, commands)) + 2
    listed = "\n".join(f"  {name:{width}}{what}" for name, what in commands.items())
    parser = argparse.ArgumentParser(prog=prog, formatter_class=raw, epilog=listed)
    parser.add_argument("command", choices=commands, metavar="COMMAND", help="one of those below")
    name = parser.parse_args(argv[:1]).command
    from loaders import LoaderError

    module = importlib.import_module(f"{package}.{name}")
    parser = argparse.ArgumentParser(prog=f"{prog} {name}", description=module.__doc__, formatter_class=raw)
    module.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    for stream in (sys.stdout, sys.stderr):  # a file name that is no text must not end a report of files
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(module.run(args))
    except (LoaderError, ValueError, OSError) as error:
        print(f"error: {describe(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return 130


def describe(error: Exception) -> str:
    """One line; of an operating system's error its words and file, not its number."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split())
