"""Evaluate a network on images with targets: accuracy, or the scores of several labels or of numbers.

examples:
  efficienttrain evaluate --model swin_tiny --init ET_pp_200ep_swinT.pth --data imagenet/val
  efficienttrain evaluate --model my_package:build --init runs/mine/best.pt --data val.beton --per-class
  efficienttrain evaluate --model convnext_base.fb_in22k_ft_in1k --pretrained --data imagenet/val --size 288
  torchrun --nproc-per-node 8 -m efficienttrain evaluate ...
Classes have top-1 and top-5; several labels mean average precision and F1; numbers mean absolute error, RMSE and R2.
Weights may be ours, timm's, or those of the authors of Swin, CSWin, PVT, ConvNeXt, CAFormer, DeiT and MAE.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from efficienttrain.evaluation import Evaluation, evaluate
from efficienttrain.training.config import CHOICES

NAMES = {"top1": "top-1", "top5": "top-5", "map": "mAP", "r2": "R2", "f1_micro": "F1 micro", "f1_macro": "F1 macro"}
SHARES = ("top1", "top5", "map", "ap", "f1", "f1_micro", "f1_macro")
"""Scores that are printed in percent."""
WORST = {"top1": "top1", "map": "ap", "r2": "r2"}
"""The score that orders classes, labels and numbers, for each metric."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain evaluate`."""
    parser.argument_default = argparse.SUPPRESS
    add = parser.add_argument
    add(
        "--model",
        metavar="NAME",
        required=True,
        help="a timm name, cswin_*, pvt_*, or your own package.module:factory or file.py:factory",
    )
    add("--data", required=True, metavar="DATA", help="images with targets: one sub-folder per class, or a beton")
    add("--target", metavar="FIELD", help="field to predict (default: as in the training of --init, else label)")
    add("--loss", choices=CHOICES["loss"], help="loss (default: as in that training, else by the field's type)")
    add("--init", metavar="CKPT", help="weights: a checkpoint, a state dict, or safetensors")
    add("--pretrained", action="store_true", help="download timm's weights, instead of --init")
    add(
        "--no-average",
        dest="average",
        action="store_false",
        help="weights as trained, even if the file has their moving average",
    )
    add("--size", type=int, metavar="PX", help="side of the input (default: 224; with --pretrained the network's own)")
    add(
        "--crop-pct",
        type=float,
        metavar="SHARE",
        help="centre crop, share of the shorter side (default: 0.875; from 384 px on 1)",
    )
    add(
        "--crop-mode",
        choices=("center", "squash", "border"),
        help="shape of the crop (default: center; from 384 px on squash)",
    )
    add(
        "--interpolation",
        choices=("bicubic", "bilinear", "lanczos", "fourier"),
        help="resizing filter (default: bicubic)",
    )
    add("--classes", type=int, metavar="N", help="outputs of the network (default: the classes of the data)")
    add(
        "--pool",
        choices=CHOICES["pool"],
        help="pooling of a ViT: mean of the patches, or class token (default: as in the file)",
    )
    add("--batch-size", type=int, metavar="N", help="images at once on each rank (default: 128)")
    add("--device", choices=CHOICES["device"], help="(default: auto)")
    add("--amp", choices=("off", "bf16", "fp16"), help="mixed precision (default: off)")
    add(
        "--workers",
        dest="num_workers",
        type=int,
        metavar="N",
        help="decoding threads of each rank (default: one per processor, shared by the ranks)",
    )
    add("--backend", metavar="NAME", help="the loader's backend (default: torch)")
    add("--per-class", action="store_true", help="print the scores of each class, label or number, worst first")
    add("--json", type=Path, metavar="FILE", help="save all results")


def run(args: argparse.Namespace) -> int:
    """Runs `efficienttrain evaluate`."""
    given = vars(args)
    each, file = given.pop("per_class", False), given.pop("json", None)
    found = evaluate(**given)
    if os.environ.get("RANK", "0") == "0":
        print(text(found, each))
        if file is not None:
            file.write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    return 0


def text(found: Evaluation, per_class: bool) -> str:
    """The result in lines."""
    scores = ", ".join(f"{NAMES.get(name, name)} {_number(name, value)}" for name, value in found.scores.items())
    lines = [f"{scores}; {found.images:,} images of {len(found.classes)} {found.kind} at {found.size} px"]
    if per_class:
        width, first = max(len(one.name) for one in found.classes), WORST[found.metric]
        for one in sorted(found.classes, key=lambda one: (one.scores[first], one.name)):
            values = "  ".join(f"{name} {_number(name, value)}" for name, value in one.scores.items())
            lines.append(f"{one.name:{width}}  {one.images:7,}  {values}")
    return "\n".join(lines)


def _number(name: str, value: float) -> str:
    return f"{value:.3%}" if name in SHARES else f"{value:.4g}"
