"""Train a model through a curriculum; the same command again goes on where it stopped.

examples:
  efficienttrain train --data train.beton --val val.beton --model deit_small_patch16_224 --epochs 200 --out runs/deit_s
  efficienttrain train --data photos/train --val photos/val --model resnet50 --epochs 30 --batch 256 --out runs/r50
  efficienttrain train ... --curriculum none --epochs 300                      the baseline, in the same trainer
  efficienttrain train ... --replay auto                                       where the loader is too slow
  efficienttrain train ... --model my_package:build                            your own network
  torchrun --nproc-per-node 8 -m efficienttrain train ... --early-batch-scale 2
What every option does to the result: docs/training.md.
"""

from __future__ import annotations

import argparse

from efficienttrain.training import Config, train
from efficienttrain.training.config import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain train`: the fields of `Config`."""
    parser.argument_default = argparse.SUPPRESS  # what is not given is left to Config
    add = parser.add_argument
    add("--data", required=True, metavar="DIR_OR_BETON", help="training images: one sub-folder a class, or a beton")
    add("--val", metavar="DIR_OR_BETON", help="images for evaluation")
    add("--model", required=True, help="timm's name, cswin_*, pvt_*, or your package.module:factory or file.py:factory")
    add("--init", metavar="CKPT", help="weights to begin with, of `efficienttrain pretrain` or another training")
    add("--out", required=True, metavar="RUN", help="folder of the run: checkpoints, log, report")
    add("--epochs", type=float, help="budget, in passes over the data at full size (200)")
    add("--curriculum", help="auto, replay, iccv, linear, step, none (the baseline), or a .yaml or .py file (auto)")
    add("--size", type=int, metavar="PX", help="full size; the curriculum's bandwidths are scaled to it (224)")
    add("--classes", type=int, metavar="N", help="outputs of the head (as many as the data have classes)")
    add("--seed", type=int, help="of weights, order, crops, augmentation, mixing and drop path (0)")

    recipe = parser.add_argument_group("recipe", "in place of what the model's recipe says")
    add = recipe.add_argument
    add("--batch", type=int, metavar="N", help="samples of a step, over all ranks; --lr follows, unless given")
    add("--optimizer", choices=CHOICES["optimizer"])
    add("--lr", type=float, help="peak learning rate")
    add("--weight-decay", type=float)
    add("--warmup", type=float, metavar="SHARE", help="of the compute")
    add("--drop-path", type=float, metavar="P")
    add("--clip-grad", type=float, metavar="NORM", help="0: none")
    add("--ema", type=float, metavar="DECAY", help="average of the weights; 0: none")
    add("--mixup", type=float, metavar="ALPHA", help="0: none")
    add("--cutmix", type=float, metavar="ALPHA", help="0: none")
    add("--smoothing", type=float, metavar="SHARE", help="of the labels")
    add("--reprob", type=float, metavar="P", help="random erasing")
    add("--early-batch-scale", type=float, metavar="X", help="batches below full size are X times larger (1)")
    add("--early-batch-rule", choices=CHOICES["early_batch_rule"], help="their rate: times X, or its root (linear)")
    add("--replay", choices=CHOICES["replay"], help="buffer: the recipe's, none, or the least that hides the loader")
    add("--replay-buffer", type=int, metavar="N", help="loader batches it holds")

    machine = parser.add_argument_group("machine")
    add = machine.add_argument
    add("--micro-batch", type=int, metavar="N", help="samples through the network at once, on each rank")
    add("--device", choices=CHOICES["device"])
    add("--amp", choices=CHOICES["amp"], help="mixed precision (auto: as the recipe says, on a GPU)")
    add("--no-channels-last", dest="channels_last", action="store_false")
    add("--compile", action="store_true", help="torch.compile, once for each size")
    add("--workers", type=int, metavar="N", help="decoding threads of each rank")
    add("--backend", help="of the loader (auto)")

    log = parser.add_argument_group("log")
    add = log.add_argument
    add("--evaluate-every", type=float, metavar="SHARE", help="of the compute (0.05)")
    add("--save-every", type=float, metavar="SHARE", help="of the compute (0.02)")
    add("--log-every", type=int, metavar="STEPS", help="(50)")
    add("--hash-batches", action="store_true", help="log a hash of the batches")
    add("--no-progress", dest="progress", action="store_false")


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain train`."""
    train(Config(**vars(args)))
    return 0
