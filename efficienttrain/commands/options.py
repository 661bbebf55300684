"""Options that several training commands share: machine, log, and those that replace a recipe's settings."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from efficienttrain.recipe import CHOICES as RECIPE_CHOICES
from efficienttrain.training.config import CHOICES, read_config

NEEDED = ("data", "model", "out")


def add_machine(parser: argparse.ArgumentParser, amp: str) -> None:
    """Those that do not change the result, or hardly; amp: the default of mixed precision."""
    add = parser.add_argument_group("machine").add_argument
    add(
        "--micro-batch",
        type=int,
        metavar="N",
        help="samples that pass through the network together, on each rank (default: as many as fit into the GPU's "
        "memory, at most the recipe's)",
    )
    add("--device", choices=CHOICES["device"], help="(default: auto)")
    add("--amp", choices=CHOICES["amp"], help=f"mixed precision (default: auto, {amp})")
    add(
        "--no-channels-last",
        dest="channels_last",
        action="store_false",
        help="keep the network in torch's default memory format",
    )
    add("--compile", action="store_true", help="torch.compile, once for each resolution")
    add(
        "--workers",
        type=int,
        metavar="N",
        help="decoding threads of each rank (default: one per processor, shared by the ranks)",
    )
    add("--backend", metavar="NAME", help="the loader's backend (default: torch)")


def add_log(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Those of log, checkpoints and display; returns their group."""
    log = parser.add_argument_group("log")
    log.add_argument(
        "--save-every",
        type=float,
        metavar="SHARE",
        help="compute between two checkpoints, share of the whole (default: 0.02)",
    )
    log.add_argument(
        "--log-every", type=int, metavar="STEPS", help="optimizer steps between two log lines (default: 50)"
    )
    log.add_argument("--hash-batches", action="store_true", help="log a hash of the batches")
    log.add_argument(
        "--track", metavar="NAMES", help="tensorboard, wandb, trackio, joined by commas, or none (default: tensorboard)"
    )
    log.add_argument("--no-progress", dest="progress", action="store_false", help="print errors only")
    return log


def add_early_batch(group: argparse._ArgumentGroup) -> None:
    """Early large batch, of a recipe's group."""
    add = group.add_argument
    add(
        "--early-batch-scale",
        type=float,
        metavar="X",
        help="batches below full resolution are X times larger (default: 1)",
    )
    add(
        "--early-batch-rule",
        choices=CHOICES["early_batch_rule"],
        help="their learning rate: times X, or times its root (default: linear)",
    )


def add_replay(group: argparse._ArgumentGroup, choices: str) -> None:
    """The replay buffer, of a recipe's group; choices: explains them."""
    group.add_argument("--replay", choices=CHOICES["replay"], help=f"replay buffer: {choices}")
    group.add_argument(
        "--replay-buffer", type=int, metavar="N", help="optimizer steps whose loader batches the buffer holds"
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    """The file that other options take precedence over."""
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="file with options by name, such as a run's config.yaml"
    )


def given(args: argparse.Namespace, kinds: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The options of a command line, with those of its `--config` if the command line has none.

    kinds: the options that the file may hold, see `read_config`.

    Raises:
        ValueError, FileNotFoundError: as `read_config` does, or an option that every training needs is missing.
    """
    asked = vars(args)
    file = asked.pop("config", None)
    made = {**(read_config(file, kinds) if file is not None else {}), **asked}
    for name in NEEDED:
        if made.get(name) is None:
            raise ValueError(f"--{name} is needed, here or in the file that --config names.")
    return made


INSTEAD = "instead of the model's recipe"


def add_curve(parser: argparse.ArgumentParser) -> None:
    """The learning rate's curve and the optimizer."""
    add = parser.add_argument_group("curve and optimizer", INSTEAD).add_argument
    add(
        "--lr-schedule",
        choices=RECIPE_CHOICES["lr_schedule"],
        help="the released scripts' steps, or one curve",
    )
    add("--warmup-epochs", type=float, metavar="N", help="warm-up, in passes over the data at each stage's resolution")
    add("--min-lr", type=float, metavar="LR", help="learning rate at the end")
    add("--weight-decay-end", type=float, metavar="X", help="weight decay at the end, along half a cosine")
    add("--betas", type=float, nargs=2, metavar=("B1", "B2"), help="betas of AdamW and LAMB")
    add("--eps", type=float, metavar="X", help="epsilon of AdamW and LAMB")
    add("--momentum", type=float, metavar="X", help="momentum of SGD")


def add_data_path(parser: argparse.ArgumentParser, ratio: bool = True) -> None:
    """From a stored image to the network's input; ratio: False if `--ratio` means something else."""
    add = parser.add_argument_group("data path", INSTEAD).add_argument
    add(
        "--data-path",
        choices=RECIPE_CHOICES["data_path"],
        help="one resampling, or the published order (default: fast)",
    )
    add(
        "--low-frequency",
        choices=RECIPE_CHOICES["low_frequency"],
        help="published path: method of resizing to B",
    )
    names = [name for name in RECIPE_CHOICES["interpolation"] if name]
    add("--interpolation", choices=names, help="filter of the crops (default: fourier; published path: bicubic)")
    add("--scale", type=float, nargs=2, metavar=("MIN", "MAX"), help="area of a crop, share of the image")
    if ratio:
        add(
            "--ratio",
            type=float,
            nargs=2,
            metavar=("MIN", "MAX"),
            help="width / height of a crop (default: 0.75 1.3333)",
        )
    add(
        "--color-jitter",
        type=float,
        metavar="X",
        help="change of brightness, contrast, saturation by up to X (default: 0)",
    )
    add("--hflip", type=float, metavar="P", help="probability of mirroring (default: 0.5)")
    add("--mean", type=float, nargs=3, metavar=("R", "G", "B"), help="mean of the pixels (default: ImageNet's)")
    add("--std", type=float, nargs=3, metavar=("R", "G", "B"), help="deviation of the pixels (default: ImageNet's)")


def add_supervised(parser: argparse.ArgumentParser) -> None:
    """Options of training with labels only: the head, augmentation, mixing, erasing, evaluation."""
    add = parser.add_argument_group("head, augmentation, mixing, erasing, evaluation", INSTEAD).add_argument
    add("--head-dropout", type=float, metavar="P", help="dropout before the classifier")
    add("--zero-init-last", action=argparse.BooleanOptionalAction, help="last norm of a ResNet's branches begins at 0")
    add(
        "--auto-augment",
        choices=RECIPE_CHOICES["auto_augment"],
        help="RandAugment, 3-Augment, TrivialAugmentWide",
    )
    add("--mixup-prob", type=float, metavar="P", help="probability of mixing a batch at all (default: 1)")
    add("--mixup-switch-prob", type=float, metavar="P", help="probability of cutmix instead of mixup (default: 0.5)")
    add("--mixup-mode", choices=RECIPE_CHOICES["mixup_mode"], help="scope of one draw (default: batch)")
    add(
        "--remode",
        choices=RECIPE_CHOICES["remode"],
        help="content of erased boxes: noise, one colour, or 0 (default: pixel)",
    )
    add("--recount", type=int, metavar="N", help="erased boxes, at most (default: 1)")
    add("--crop-pct", type=float, metavar="SHARE", help="centre crop of evaluation (default: 0.875)")
