"""Options in place of a recipe's less common settings: learning-rate curve, optimizer, network, data path.

Each is a field of `Config`, documented in `efficienttrain.Recipe`.
"""

from __future__ import annotations

import argparse

from efficienttrain.recipe import CHOICES

INSTEAD = "instead of the model's recipe"


def add_curve(parser: argparse.ArgumentParser) -> None:
    """The learning rate's curve and the optimizer."""
    add = parser.add_argument_group("curve and optimizer", INSTEAD).add_argument
    add("--lr-schedule", choices=CHOICES["lr_schedule"], help="as the released scripts, step for step, or one curve")
    add("--warmup-epochs", type=float, metavar="N", help="in passes over the data at each stage's resolution")
    add("--min-lr", type=float, metavar="LR", help="learning rate at the end")
    add("--weight-decay-end", type=float, metavar="X", help="weight decay at the end, along half a cosine")
    add("--betas", type=float, nargs=2, metavar=("B1", "B2"), help="of AdamW and LAMB")
    add("--eps", type=float, help="of AdamW and LAMB")
    add("--momentum", type=float, help="of SGD")


def add_data_path(parser: argparse.ArgumentParser, ratio: bool = True) -> None:
    """From a stored image to the network's input; ratio: False if `--ratio` means something else."""
    add = parser.add_argument_group("data path", INSTEAD).add_argument
    add("--data-path", choices=CHOICES["data_path"], help="one resampling, or the published order (fast)")
    add("--low-frequency", choices=CHOICES["low_frequency"], help="of the published path: how images come down to B")
    names = [name for name in CHOICES["interpolation"] if name]
    add("--interpolation", choices=names, help="of crops (fast: fourier; published: bicubic)")
    add("--scale", type=float, nargs=2, metavar=("MIN", "MAX"), help="share of the image that a crop takes")
    if ratio:
        add("--ratio", type=float, nargs=2, metavar=("MIN", "MAX"), help="width / height of a crop (0.75 1.3333)")
    add("--color-jitter", type=float, metavar="X", help="change of brightness, contrast, saturation by up to X (0)")
    add("--hflip", type=float, metavar="P", help="(0.5)")
    add("--mean", type=float, nargs=3, metavar=("R", "G", "B"), help="(ImageNet's)")
    add("--std", type=float, nargs=3, metavar=("R", "G", "B"), help="(ImageNet's)")


def add_supervised(parser: argparse.ArgumentParser) -> None:
    """Options of training with labels only: the head, augmentation, mixing, erasing, evaluation."""
    add = parser.add_argument_group("head, augmentation, mixing, erasing, evaluation", INSTEAD).add_argument
    add("--head-dropout", type=float, metavar="P", help="before the classifier")
    add("--zero-init-last", action=argparse.BooleanOptionalAction, help="last norm of a ResNet's branches begins at 0")
    add("--auto-augment", choices=CHOICES["auto_augment"], help="RandAugment, 3-Augment, TrivialAugmentWide (rand)")
    add("--mixup-prob", type=float, metavar="P", help="of mixing a batch at all (1)")
    add("--mixup-switch-prob", type=float, metavar="P", help="of cutmix rather than mixup (0.5)")
    add("--mixup-mode", choices=CHOICES["mixup_mode"], help="scope of one draw (batch)")
    add("--remode", choices=CHOICES["remode"], help="erased boxes: noise, one colour, or 0 (pixel)")
    add("--recount", type=int, metavar="N", help="erased boxes at most (1)")
    add("--crop-pct", type=float, metavar="SHARE", help="of evaluation (0.875)")
