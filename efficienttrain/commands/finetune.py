"""Fine-tune a pre-trained network with a published recipe; the same command again resumes.

examples:
  efficienttrain finetune --model vit_base_patch16_224 --init runs/mae_b/encoder.pt --data train.beton --out runs/ft
  efficienttrain finetune --model cswin_base --init in22k_cswinB.pth --data train.beton --val val.beton --out runs/ft
  efficienttrain finetune --model convnext_base.fb_in22k --pretrained --size 384 --data train.beton --out runs/ft
  efficienttrain finetune ... --recipe 22k --layer-decay 0.8 --epochs 10          another recipe, with changes
The options are those of `efficienttrain train`; the recipe sets the rest. Values and sources: docs/finetuning.md.
"""

from __future__ import annotations

import argparse
import sys

from efficienttrain.commands import train as training
from efficienttrain.commands.options import given
from efficienttrain.finetuning import RECIPES, default, finetune, settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain finetune`: those of `train`, and the recipe."""
    training.add_arguments(parser)
    parser.add_argument("--recipe", choices=RECIPES, help="mae or 22k (default: mae for a ViT, 22k for all others)")


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain finetune`."""
    recipe = vars(args).pop("recipe", None)
    asked = given(args)
    print(settings(recipe or default(asked["model"]), asked["model"])[1], file=sys.stderr)
    finetune(recipe, **asked)
    return 0
