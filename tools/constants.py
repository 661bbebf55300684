"""Write docs/constants.md: our constants beside the released ones, model by model.

python -m tools constants                      writes docs/constants.md
python -m tools constants --check              compares only; exit status 1 if the page is out of date

The released numbers below were read from the launch scripts and from the defaults of `main_buffer.py` in the authors'
repository (LeapLabTHU/EfficientTrain, commit 2b9011c); ours come from `efficienttrain.recipe`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from efficienttrain import Recipe, recipe
from efficienttrain.presets import FAMILIES, preset
from efficienttrain.pretraining.masking import Masking, authors
from efficienttrain.training.config import Config

PAGE = Path(__file__).parents[1] / "docs" / "constants.md"
IMAGENET = 1_281_167
BUDGETS = (100, 200, 300)


class Script(NamedTuple):
    """The settings of one launch script. Runs such as "96x2 160x4 224x4" give a value for each tenth."""

    file: str
    resolutions: str
    batch: str
    """Of a GPU; eight of them, times `update_freq`, make 4096."""
    drop_path: float
    """At `--epoch 200`; multiplied by epoch / 200."""
    amp: bool
    clip: float | None
    ema: float | None
    optimizer: str = "adamw"
    lr: float = 4e-3
    weight_decay: float = 0.05
    eps: float = 1e-8
    warmup: str = "20 epochs of each stage"
    replay: str = "-"
    """Times x tenths / buffer in loader batches x tenths, of the script with the buffer."""


WIDE, DEEP = "512x6 256x4", "512x2 256x4 128x4"
SCRIPTS = {
    "resnet50": Script("res50", "96x2 160x4 224x4", "512x10", 0.0, False, None, None,
                       replay="4x2 2x4 1x4 / 1920x2 256x4 0x4"),
    "deit_small_patch16_224": Script("deitS", "96x2 160x4 192x2 224x2", WIDE, 0.1, True, 5.0, None,
                                     warmup="20.0% of the run", replay="4x2 2x4 1x4 / 1920x2 256x4 0x4"),
    "swin_tiny": Script("swinT", "96x2 160x4 224x4", WIDE, 0.2, True, 5.0, None, replay="2x2 1x8 / 1024x2 0x8"),
    "swin_small": Script("swinS", "96x2 160x4 224x4", DEEP, 0.3, True, 5.0, None),
    "swin_base": Script("swinB", "96x2 160x4 224x4", DEEP, 0.5, True, 5.0, None),
    "CSWin_64_12211_tiny_224": Script("cswinT", "96x2 160x4 224x4", WIDE, 0.2, True, None, 0.9999,
                                      replay="2x2 1x8 / 1024x2 0x8"),
    "CSWin_64_24322_small_224": Script("cswinS", "96x2 160x4 224x4", DEEP, 0.4, True, None, 0.9999),
    "CSWin_96_24322_base_224": Script("cswinB", "96x2 160x4 224x4", DEEP, 0.5, True, None, 0.9998,
                                      "lamb", 8e-3, 0.1, 1e-6),
    "convnext_tiny": Script("convnextT", "160x6 224x4", "256x6 128x4", 0.1, False, None, 0.9999),
    "convnext_small": Script("convnextS", "160x6 224x4", "128x6 64x4", 0.4, False, None, 0.9999),
    "convnext_base": Script("convnextB", "160x6 224x4", "128x6 64x4", 0.5, False, None, 0.9999),
}  # fmt: skip
"""By the name that `--model` has in the script."""

STEPS = {
    "96x2 160x4 224x4": (70_512, 141_648, 212_472),
    "96x2 160x4 192x2 224x2": (73_008, 146_328, 219_336),
    "160x6 224x4": (48_984, 98_280, 147_264),
}
"""Optimizer steps of the scripts on ImageNet-1K at `BUDGETS`, by resolutions: loader epochs times 312."""

COMMON: tuple[tuple[str, str, str], ...] = (
    ("samples a step", "4096 (8 GPUs x batch_size x update_freq)", "batch"),
    ("learning rate at the end", "1e-06 (`--min_lr`)", "min_lr"),
    ("weight decay at the end", "None (`--weight_decay_end`: constant)", "weight_decay_end"),
    ("betas", "() (`--opt_betas`: the optimizer's own)", "betas"),
    ("momentum of SGD", "0.9 (`--momentum`)", "momentum"),
    ("label smoothing", "0.1 (`--smoothing`)", "smoothing"),
    ("mixup alpha", "0.8 (`--mixup`)", "mixup"),
    ("cutmix alpha", "1.0 (`--cutmix`)", "cutmix"),
    ("probability of mixing", "1.0 (`--mixup_prob`)", "mixup_prob"),
    ("probability of cutmix", "0.5 (`--mixup_switch_prob`)", "mixup_switch_prob"),
    ("scope of one draw", "batch (`--mixup_mode`)", "mixup_mode"),
    ("probability of erasing", "0.25 (`--reprob`)", "reprob"),
    ("erasing fills with", "pixel (`--remode`)", "remode"),
    ("boxes erased", "1 (`--recount`)", "recount"),
    ("crop's share of the image", "(0.08, 1.0) (timm)", "scale"),
    ("crop's width / height", "(0.75, 1.3333333333333333) (timm)", "ratio"),
    ("flip", "0.5 (timm)", "hflip"),
    ("evaluation crop", "0.875 (`--crop_pct`: 224/256)", "crop_pct"),
    ("mean", "(0.485, 0.456, 0.406) (`--imagenet_default_mean_and_std`)", "mean"),
    ("standard deviation", "(0.229, 0.224, 0.225) (the same)", "std"),
    ("low-pass to B", "lanczos (`datasets_buffer.py`)", "low_frequency"),
)
"""Name, released value and its place, field of `Recipe`: the same for every model."""

DIFFERENT = (
    ("data path", "crop to 224, flip, RandAugment, Lanczos to B, normalise, erase", "one resampling from the crop to B,"
     " augmentation there; `--data-path published` is the released one"),
    ("drop path of large budgets", "grows without bound", "at most 0.9"),
    ("budgets below 100 epochs", "whole epochs; any share of warm-up", "exact shares; at most 20 % of warm-up"),
    ("warm-up's line", "ends one step earlier (`np.linspace`)", "differs by at most 0.016 % on ImageNet-1K"),
    ("gradients in full precision", "`--clip_grad` is ignored", "clipped, if the recipe or the user says so"),
    ("LAMB", "the authors' `lamb.py`", "timm's; both clip the global norm to 1"),
)  # fmt: skip
"""Intended differences: setting, released, ours."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m tools constants`."""
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if the page differs")


def run(args: argparse.Namespace) -> int:
    """Runs `python -m tools constants`."""
    made = page()
    if args.check:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        print(f"{PAGE} is {'up to date' if same else 'out of date; run python -m tools constants'}")
        return 0 if same else 1
    PAGE.write_text(made, encoding="utf-8")
    print(PAGE)
    return 0


def page() -> str:
    """The whole page, Markdown."""
    parts = [
        "# Our constants beside the released ones",
        "Made by `python -m tools constants`; do not edit. A test compares this page with the code, and each of our "
        "values with the released one.",
        "Released values are those of the authors' launch scripts and of the defaults in their `main_buffer.py` "
        "(LeapLabTHU/EfficientTrain, commit 2b9011c).",
        "## Models with a script",
        *(_model(name, script) for name, script in SCRIPTS.items()),
        "## The same for all",
        _table(("setting", "released", "ours"), [(name, theirs, str(ours)) for name, theirs, ours in common()]),
        "## Intended differences",
        _table(("setting", "released", "ours"), DIFFERENT),
        "## Recipes without a script",
        "The paper trains PVT and CAFormer, but no script was released: these recipes are reconstructed. Other sizes "
        "of a family take the family's script.",
        _unreleased(),
        "## Masked autoencoder",
        "No script was released. Of MAE's authors (arXiv 2111.06377, table 8): " + _mae(),
    ]
    return "\n\n".join(parts) + "\n"


def compared(name: str, script: Script) -> list[tuple[str, str, str]]:
    """Setting, released value and ours, of one model."""
    made, replay = recipe(name, 200), preset(name).replay
    drops = [recipe(name, budget).drop_path for budget in BUDGETS]
    return [
        ("resolution per tenth of the compute", script.resolutions, _runs([s.resolution for s in made.stages])),
        ("RandAugment magnitude per tenth", "0 to 9", f"{made.stages[0].magnitude} to {made.stages[-1].magnitude}"),
        ("batch of a GPU", script.batch, _runs(made.micro_batch)),
        ("optimizer", script.optimizer, made.optimizer),
        ("peak learning rate", f"{script.lr:g}", f"{made.lr:g}"),
        ("warm-up", script.warmup, _warmup(made)),
        ("weight decay", f"{script.weight_decay:g}", f"{made.weight_decay:g}"),
        ("epsilon", f"{script.eps:g}", f"{made.eps:g}"),
        (
            "drop path at 100, 200, 300 epochs",
            ", ".join(f"{script.drop_path * budget / 200:g}" for budget in BUDGETS),
            ", ".join(f"{drop:g}" for drop in drops),
        ),
        ("mixed precision", str(script.amp), str(made.amp)),
        ("clipping", str(script.clip), str(made.clip_grad)),
        ("moving average", str(script.ema), str(made.ema)),
        ("replay script: times / buffer", script.replay, " / ".join(replay) if replay else "-"),
        (
            "steps on ImageNet-1K at 100, 200, 300 epochs",
            ", ".join(f"{steps:,}" for steps in STEPS[script.resolutions]),
            ", ".join(f"{recipe(name, budget).schedule(IMAGENET).total_steps:,}" for budget in BUDGETS),
        ),
    ]


def common() -> list[tuple[str, str, object]]:
    """Setting, released value with its place, and ours, of constants that are equal for every model."""
    made = recipe("swin_tiny", 200)
    return [(name, theirs, getattr(made, field)) for name, theirs, field in COMMON]


def _model(name: str, script: Script) -> str:
    rows = compared(name, script)
    return f"### {name}\n\n`_ET_pp_main_{script.file}.py`\n\n" + _table(("setting", "released", "ours"), rows)


def _unreleased() -> str:
    rows = []
    for family in FAMILIES:
        for size, found in family.sizes.items():
            if found.source != "script":
                name = family.pattern.split("(")[0] + size
                settings = f"{found.optimizer} {found.lr:g}, drop path {found.drop_path:g}, clip {found.clip_grad}"
                settings += f", head dropout {found.head_dropout:g}" if found.head_dropout else ""
                rows.append((name, settings, found.origin, found.guesses))
    return _table(("model", "settings", "from", "guessed"), rows)


def _mae() -> str:
    made = authors(Config(data="", out="", model="", epochs=400))
    assert made.lr is not None and made.batch is not None and made.betas is not None
    return (
        f"{made.optimizer}, betas {made.betas}, weight decay {made.weight_decay:g}, learning rate "
        f"{made.lr * 256 / made.batch:g} for each 256 of a batch of {made.batch}, warm-up of 40 epochs "
        f"({made.warmup:.0%} of 400), crops of {made.scale} of the image, {Masking().ratio:.0%} of the patches hidden."
    )


def _warmup(made: Recipe) -> str:
    if made.warmup_epochs is None:
        return f"{made.warmup:.1%} of the run"
    return f"{made.warmup_epochs:g} epochs of each stage"


def _runs(values: Sequence[int]) -> str:
    return " ".join(f"{value}x{len(list(group))}" for value, group in groupby(values))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
