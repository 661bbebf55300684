"""efficienttrain {schedule,train,...}: each command is the module of that name in commands/."""

from __future__ import annotations

import sys

from efficienttrain.console import execute

COMMANDS = {
    "schedule": "print and draw what a training will do: stages, epochs, steps, learning rate",
    "search": "find a curriculum: greedily or stage by stage, with probes side by side",
    "train": "train a model through a curriculum, on one machine or under torchrun",
    "pretrain": "train an encoder without labels through a curriculum: masked autoencoder",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (failed), 2 (wrong argument or data), 130 (Ctrl-C)."""
    return execute("efficienttrain", "efficienttrain.commands", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
