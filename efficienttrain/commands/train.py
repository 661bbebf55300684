"""Train a model through a curriculum; repeating the command resumes an interrupted run.

examples:
  efficienttrain train --data train.beton --val val.beton --model deit_small_patch16_224 --epochs 200 --out runs/deit_s
  efficienttrain train --data photos/train --val photos/val --model resnet50 --epochs 30 --batch 256 --out runs/r50
  efficienttrain train ... --curriculum none --epochs 300                      the baseline, in the same trainer
  efficienttrain train --config runs/r50/config.yaml --out runs/again --seed 1     as another run
  efficienttrain train ... --replay auto                                       if the loader is too slow
  efficienttrain train ... --model my_package:build                            your own network
  efficienttrain train ... --target age                                        another field: numbers, several labels
  torchrun --nproc-per-node 8 -m efficienttrain train ... --early-batch-scale 2
Effects of the options: docs/training.md.
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
    add_supervised,
    given,
)
from efficienttrain.training import Config, train
from efficienttrain.training.config import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain train`: the fields of `Config`."""
    parser.argument_default = argparse.SUPPRESS  # options not given are left to Config
    add = parser.add_argument
    add_config(parser)
    add("--data", metavar="DIR_OR_BETON", help="training images: a folder with one sub-folder per class, or a beton")
    add("--val", metavar="DIR_OR_BETON", help="validation images, as --data")
    add(
        "--model",
        metavar="NAME",
        help="a timm name, cswin_*, pvt_*, or your own package.module:factory or file.py:factory",
    )
    add("--init", metavar="CKPT", help="initial weights: a checkpoint of ours, timm's, the authors', or safetensors")
    add("--pretrained", action="store_true", help="download timm's weights, instead of --init")
    add(
        "--pool",
        choices=CHOICES["pool"],
        help="pooling of a ViT: mean of the patches, or class token (default: the model's own)",
    )
    add(
        "--head-scale",
        type=float,
        metavar="X",
        help="factor for the initial weights of a new head, with --init (default: 1)",
    )
    add("--out", metavar="RUN", help="folder of the run: checkpoints, log, report")
    add("--epochs", type=float, metavar="N", help="budget, in passes over the data at full resolution (default: 200)")
    add(
        "--curriculum",
        metavar="NAME",
        help="auto, general, replay, iccv, linear, step, none (the baseline), or a .yaml or .py file (default: auto)",
    )
    add("--size", type=int, metavar="PX", help="full resolution; the curriculum is scaled to it (default: 224)")
    add("--classes", type=int, metavar="N", help="outputs of the head (default: the classes of the data)")
    add("--target", metavar="FIELD", help="field to predict: a class, several labels, or numbers (default: label)")
    add("--loss", choices=CHOICES["loss"], help="(default: by the field's type: int, 0/1 vector or list, float)")
    add(
        "--class-weights",
        choices=CHOICES["class_weights"],
        help="rare classes or labels count more (default: all alike)",
    )
    add(
        "--sample-weights", choices=CHOICES["sample_weights"],
        help="draw samples of all classes equally often, with replacement (default: each sample once per epoch)",
    )  # fmt: skip
    add(
        "--seed",
        type=int,
        metavar="N",
        help="key of weights, order, crops, augmentation, mixing and drop path (default: 0)",
    )

    recipe = parser.add_argument_group("recipe", "instead of the model's recipe")
    add = recipe.add_argument
    add("--batch", type=int, metavar="N", help="samples of a step on all ranks; --lr follows: give both for a small N")
    add("--optimizer", choices=CHOICES["optimizer"], help="AdamW, LAMB, or SGD with Nesterov momentum")
    add("--lr", type=float, metavar="X", help="peak learning rate")
    add("--layer-decay", type=float, metavar="X", help="factor of the learning rate from each layer to the one below")
    add("--weight-decay", type=float, metavar="X", help="weight decay; with --weight-decay-end, at the beginning")
    add("--warmup", type=float, metavar="SHARE", help="warm-up, share of the compute")
    add("--drop-path", type=float, metavar="P", help="stochastic depth: probability of dropping the last block")
    add("--clip-grad", type=float, metavar="NORM", help="largest gradient norm; 0: no limit")
    add("--ema", type=float, metavar="DECAY", help="moving average of the weights; 0: none")
    add("--mixup", type=float, metavar="ALPHA", help="strength of mixup; 0: none")
    add("--cutmix", type=float, metavar="ALPHA", help="strength of cutmix; 0: none")
    add("--smoothing", type=float, metavar="SHARE", help="label smoothing")
    add("--reprob", type=float, metavar="P", help="probability of random erasing")
    add_early_batch(recipe)
    add_replay(recipe, "the recipe's, none, or the least that hides the loader")

    add_curve(parser)
    add_data_path(parser)
    add_supervised(parser)
    add_machine(parser, "as the recipe says, on a GPU")
    log = add_log(parser)
    log.add_argument(
        "--evaluate-every",
        type=float,
        metavar="SHARE",
        help="compute between two evaluations, share of the whole (default: 0.05)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain train`."""
    train(Config(**given(args)))
    return 0
