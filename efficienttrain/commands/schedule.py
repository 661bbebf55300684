"""Print and draw the plan of a training: stages, epochs, steps, learning rate.

examples:
  efficienttrain schedule --model deit_small_patch16_224 --epochs 200
  efficienttrain schedule --model swin_tiny --epochs 100 --images 50000 --batch 1024 --png schedule.png
  efficienttrain schedule --model my_package:build --curriculum mine.yaml --json schedule.json
"""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from efficienttrain.presets import preset, provenance
from efficienttrain.recipe import CHOICES, CURRICULA, Recipe, recipe
from efficienttrain.timetable import Timetable, drawing, text, timetable

IMAGENET = 1_281_167
WIDTH = 110


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `efficienttrain schedule`."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        required=True,
        help="a timm name, cswin_*, pvt_*, a released script's name, or your own package.module:factory",
    )
    parser.add_argument(
        "--epochs", type=float, metavar="N", default=200.0, help="budget, in epochs at 224 px (default: %(default)g)"
    )
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        default=IMAGENET,
        help="images of the data set (default: %(default)s, ImageNet-1K)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="samples of an optimizer step on all GPUs (default: the recipe's)"
    )
    curricula = f"{', '.join(CURRICULA)}, or a .yaml or .py file (default: %(default)s)"
    parser.add_argument("--curriculum", default="auto", metavar="NAME", help=curricula)
    schedules = CHOICES["lr_schedule"]
    parser.add_argument("--lr-schedule", choices=schedules, help="the released scripts' steps, or one curve")
    parser.add_argument("--png", type=Path, metavar="FILE", help="write a plot of the schedule to this file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the table and the recipe")


def run(args: argparse.Namespace) -> int:
    """Run `efficienttrain schedule`."""
    if preset(args.model).source == "general":
        from efficienttrain.models import check_name

        check_name(args.model)
    made = recipe(args.model, args.epochs, args.curriculum)
    if args.batch is not None:
        made = made.at_batch(args.batch)
    if args.lr_schedule is not None:
        made = replace(made, lr_schedule=args.lr_schedule)
    table = timetable(made, args.images, args.epochs)
    print(f"{made.model}, curriculum {args.curriculum}, {args.images:,} images\n")
    print(text(table), drawing(table), sep="\n\n", end="\n\n")
    for line in notes(table, args.epochs):
        print(textwrap.fill(line, WIDTH, subsequent_indent="  "))
    if args.json is not None:
        args.json.write_text(json.dumps(as_json(table), indent=1) + "\n", encoding="utf-8")
    if args.png is not None:
        from efficienttrain.schedule_plot import draw

        draw(args.png, table)
    return 0


def notes(table: Timetable, nominal: float) -> list[str]:
    """The meaning of the numbers, and the rest of the recipe."""
    made, first = table.recipe, table.rows[0]
    passes, cost = sum(row.epochs for row in table.rows), made.epochs
    counted = sum(row.official.passes for row in table.rows)
    steps = sum(row.official.steps(table.schedule.samples, row.batch) for row in table.rows)
    unit = ""
    if made.pace == "compute":
        unit = (
            f", each stage in a unit of its own. For stage 0 they print --epochs {first.official.whole}, the length of "
            f"a run at {first.stage.resolution} px alone, and stop at epoch {first.official.end}: no error"
        )
    exact = "The trainer does the same, step for step."
    if not table.schedule.official:
        exact = "The trainer gives each stage its exact share, in steps."
    return [
        f"epochs: passes over the data. These {passes:.4g} cost as much as {cost:.4g} at 224 px, because a pass at B "
        "pixels costs (B/224)^2 of one at 224.",
        f"official: the released scripts' count at {nominal:g} epochs, rounded{unit}. In all {counted} "
        f"passes, {steps:,} steps. {exact}",
        settings(made),
        provenance(made.model),
    ]


def settings(made: Recipe) -> str:
    """The recipe beside the stages, in a sentence."""
    parts = [
        f"{made.optimizer}, peak learning rate {made.lr:g} for a batch of {made.batch:,}, {made.lr_schedule} schedule, "
        f"{_warmup(made)}, weight decay {made.weight_decay:g}",
        f"drop path {made.drop_path:.3g}" + (f", head dropout {made.head_dropout:g}" if made.head_dropout else ""),
        "mixed precision" if made.amp else "full precision",
        "no clipping" if made.clip_grad is None else f"gradients clipped to {made.clip_grad:g}",
        "no moving average" if made.ema is None else f"moving average {made.ema:g}",
        f"mixup {made.mixup:g}, cutmix {made.cutmix:g}, label smoothing {made.smoothing:g}, erasing {made.reprob:g}",
    ]
    return f"recipe: {', '.join(parts)}."


def _warmup(made: Recipe) -> str:
    if made.lr_schedule == "continuous" or made.warmup_epochs is None:
        return f"warm-up over {made.warmup:.1%} of the {made.pace}"
    return f"warm-up over {made.warmup_epochs:g} epochs of each stage's own length"


def as_json(table: Timetable) -> dict[str, Any]:
    """The table and the recipe as plain values."""
    rows = [
        {
            **asdict(row.stage), "batch": row.batch, "compute": row.compute, "epochs": row.epochs, "steps": row.steps,
            "equivalent_epochs": row.equivalent, "lr_start": row.lr[0], "lr_end": row.lr[1],
            "official": {"whole": row.official.whole, "begin": row.official.begin, "end": row.official.end},
        }
        for row in table.rows
    ]  # fmt: skip
    rest = {name: value for name, value in asdict(table.recipe).items() if name != "stages"}
    return {**rest, "images": table.schedule.samples, "total_steps": table.schedule.total_steps, "stages": rows}
