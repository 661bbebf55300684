"""python -m tools {convert,verify,extract,inspect,synth,demo}: each is the module of that name beside this one."""

from __future__ import annotations

import argparse
import importlib
import io
import sys

COMMANDS = {
    "convert": "a folder of images into a beton ladder",
    "verify": "check every record of a beton",
    "extract": "write one level of a ladder as a stock FFCV beton",
    "inspect": "facts of a beton, and one sample at every station",
    "synth": "make a labelled JPEG data set",
    "demo": "make, convert, load, train and show, in three minutes",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (found damage), 2 (wrong argument or data), 130 (Ctrl-C)."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m tools",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:9}{what}" for name, what in COMMANDS.items()),
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    name = parser.parse_args(argv[:1]).command
    from loaders.errors import LoaderError

    module = importlib.import_module(f"tools.{name}")
    parser = argparse.ArgumentParser(prog=f"python -m tools {name}", description=COMMANDS[name])
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


if __name__ == "__main__":
    sys.exit(main())
