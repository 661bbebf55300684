"""Options that training with labels and without have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efficienttrain.training.config import CHOICES
from efficienttrain.training.config_file import read_config

NEEDED = ("data", "model", "out")


def add_machine(parser: argparse.ArgumentParser, amp: str) -> None:
    """Those that do not change the result, or hardly; amp: the default of mixed precision."""
    add = parser.add_argument_group("machine").add_argument
    add("--micro-batch", type=int, metavar="N", help="samples through the network at once, on each rank")
    add("--device", choices=CHOICES["device"])
    add("--amp", choices=CHOICES["amp"], help=f"mixed precision (auto: {amp})")
    add("--no-channels-last", dest="channels_last", action="store_false")
    add("--compile", action="store_true", help="torch.compile, once for each size")
    add("--workers", type=int, metavar="N", help="decoding threads of each rank")
    add("--backend", help="of the loader (torch)")


def add_log(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Those of log, checkpoints and display; returns their group."""
    log = parser.add_argument_group("log")
    log.add_argument("--save-every", type=float, metavar="SHARE", help="of the compute (0.02)")
    log.add_argument("--log-every", type=int, metavar="STEPS", help="(50)")
    log.add_argument("--hash-batches", action="store_true", help="log a hash of the batches")
    log.add_argument("--track", metavar="NAMES", help="tensorboard, wandb, trackio, with commas; none (tensorboard)")
    log.add_argument("--no-progress", dest="progress", action="store_false")
    return log


def add_early_batch(group: argparse._ArgumentGroup) -> None:
    """Early large batch, of a recipe's group."""
    add = group.add_argument
    add("--early-batch-scale", type=float, metavar="X", help="batches below full size are X times larger (1)")
    add("--early-batch-rule", choices=CHOICES["early_batch_rule"], help="their rate: times X, or its root (linear)")


def add_config(parser: argparse.ArgumentParser) -> None:
    """The file that other options take precedence over."""
    parser.add_argument("--config", type=Path, metavar="YAML", help="options by name, as a run's config.yaml has them")


def given(args: argparse.Namespace, known: Sequence[str] = ()) -> dict[str, Any]:
    """The options of a command line, with those of its `--config` if the command line has none.

    known: names that the file may hold, see `read_config`.

    Raises:
        ValueError, FileNotFoundError: as `read_config` does, or an option that every training needs is missing.
    """
    asked = vars(args)
    file = asked.pop("config", None)
    made = {**(read_config(file, known) if file is not None else {}), **asked}
    for name in NEEDED:
        if made.get(name) is None:
            raise ValueError(f"--{name} is needed, here or in the file that --config names.")
    return made
