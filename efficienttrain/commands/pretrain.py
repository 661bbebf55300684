"""Train an encoder without labels, through a curriculum; repeating the command resumes an interrupted run.

examples:
  efficienttrain pretrain --method mae --data train.beton --model vit_base_patch16_224 --epochs 400 --out runs/mae_b
  efficienttrain pretrain ... --target hog                                     predict gradients instead of pixels
  efficienttrain pretrain ... --curriculum iccv --epochs 1600                  EfficientTrain of 2023
  efficienttrain pretrain ... --curriculum none                                the baseline
  efficienttrain pretrain --config runs/mae_b/config.yaml --out runs/again --seed 1    as another run
  torchrun --nproc-per-node 8 -m efficienttrain pretrain ...
  efficienttrain finetune --model vit_base_patch16_224 --init runs/mae_b/encoder.pt ...   then, with labels
Which parts are the paper's and which are our reading: docs/pretraining.md.
"""

from __future__ import annotations

import argparse

from efficienttrain.commands.options import (
    add_config,
    add_curve,
    add_data_path,
    add_early_batch,
    add_log,
    add_machine,
    add_replay,
    given,
)
from efficienttrain.pretraining import Masking, pretrain
from efficienttrain.pretraining.masking import OPTIONS, TARGETS
from efficienttrain.training import Config
from efficienttrain.training.config import CHOICES

EPOCHS = 400.0  # of EfficientTrain++ with MAE, in the paper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain pretrain`: the fields of `Masking`, and those of `Config` that do not need labels."""
    parser.argument_default = argparse.SUPPRESS  # options not given are left to Config and Masking
    add_config(parser)
    add = parser.add_argument
    add("--method", choices=("mae",), default="mae", help="masked autoencoder")
    add("--data", metavar="DIR_OR_BETON", help="images: a folder or a beton; labels are not read")
    add("--model", metavar="NAME", help="a ViT: vit_{tiny,small,base,large}_patch16_224, or module:factory of yours")
    add("--out", metavar="RUN", help="folder of the run: checkpoints, log, pictures, encoder.pt")
    add("--target", choices=TARGETS, help="target of the hidden patches (default: pixels)")
    add("--ratio", type=float, metavar="SHARE", help="share of the patches that is hidden (default: 0.75)")
    add("--epochs", type=float, metavar="N", help="budget, in passes over the data at full resolution (default: 400)")
    names = "auto (which is general), iccv, linear, step, none (the baseline), or a .yaml or .py file (default: auto)"
    add("--curriculum", metavar="NAME", help=names)
    add("--size", type=int, metavar="PX", help="full resolution; the curriculum is scaled to it (default: 224)")
    add("--seed", type=int, metavar="N", help="key of weights, order, crops and masks (default: 0)")

    recipe = parser.add_argument_group("recipe", "instead of the values of MAE's authors")
    add = recipe.add_argument
    add(
        "--batch",
        type=int,
        metavar="N",
        help="samples of a step on all ranks; --lr follows unless given (default: 4096)",
    )
    add("--optimizer", choices=CHOICES["optimizer"], help="(default: adamw)")
    add("--lr", type=float, metavar="X", help="peak learning rate (default: 1.5e-4 for each 256 of the batch)")
    add("--weight-decay", type=float, metavar="X", help="(default: 0.05)")
    add("--warmup", type=float, metavar="SHARE", help="warm-up, share of the compute (default: 40 epochs, at most 0.2)")
    add("--clip-grad", type=float, metavar="NORM", help="largest gradient norm (default: no limit)")
    add_early_batch(recipe)
    add_replay(recipe, "the curriculum's, none, or as needed (default: recipe)")

    add_curve(parser)
    add_data_path(parser, ratio=False)
    add_machine(parser, "on a GPU")
    add_log(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain pretrain`."""
    del args.method
    asked = {"epochs": EPOCHS, **given(args, OPTIONS)}
    masking = Masking(**{name: asked.pop(name) for name in ("target", "ratio") if name in asked})
    pretrain(Config(**asked), masking)
    return 0
