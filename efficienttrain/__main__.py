"""efficienttrain {schedule,train,...}: each command is the module of that name in commands/."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "schedule": "print and draw what a training will do: stages, epochs, steps, learning rate",
    "search": "find a curriculum: greedily or stage by stage, with probes side by side",
    "train": "train a model through a curriculum, on one machine or under torchrun",
    "pretrain": "train an encoder without labels through a curriculum: masked autoencoder",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (failed), 2 (wrong argument or data), 130 (Ctrl-C)."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="efficienttrain",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:10}{what}" for name, what in COMMANDS.items()),
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    name = parser.parse_args(argv[:1]).command
    from loaders import LoaderError

    module = importlib.import_module(f"efficienttrain.commands.{name}")
    parser = argparse.ArgumentParser(
        prog=f"efficienttrain {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    args = parser.parse_args(argv[1:])
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
