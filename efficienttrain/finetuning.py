"""Fine-tuning with the published recipes: after masked pre-training, and from ImageNet-22K to ImageNet-1K."""

from __future__ import annotations

from typing import Any

from efficienttrain.presets import canonical
from efficienttrain.training import Config, Result, train

MAE = {"base": (100.0, 5e-4, 0.65, 0.1), "large": (50.0, 1e-3, 0.75, 0.2), "huge": (50.0, 1e-3, 0.75, 0.3)}
"""Epochs, learning rate for 256 samples, layer decay and drop path of MAE's `FINETUNE.md`, by size."""
CONVNEXT = {"base": 0.2, "large": 0.3, "xlarge": 0.4}
"""Drop path of ConvNeXt's `TRAINING.md`, fine-tuning from ImageNet-22K, by size."""
RECIPES = ("mae", "22k")


def finetune(recipe: str | None = None, **given: Any) -> Result:
    """Fine-tunes a network: `training.train`, with defaults from a published recipe.

    Args:
        recipe: "mae" or "22k", see `settings`; None: "mae" for a ViT, "22k" for all others.
        given: fields of `Config`; `data`, `out`, `model`, and `init` or `pretrained` are required.

    Raises:
        ValueError: an unknown recipe, no weights to begin with, no model, or as `training.train` does.
        OSError, LoaderError: as `training.train` does.
    """
    return train(settled(recipe, given))


def settled(recipe: str | None, given: dict[str, Any]) -> Config:
    """The configuration of a fine-tuning. Raises ValueError as `finetune` does."""
    if given.get("init") is None and not given.get("pretrained"):
        raise ValueError("fine-tuning needs weights to begin with: give `--init FILE`, or `--pretrained` for timm's.")
    if given.get("model") is None:
        raise ValueError('fine-tuning needs the network of the weights, got no `model`; name it, as model="vit_base".')
    recipe = recipe or default(given["model"])
    return Config(**{**settings(recipe, given["model"], given.get("batch"))[0], **given})


def default(model: str) -> str:
    """The recipe of a model if none is named."""
    name = canonical(model).rpartition(":")[2]
    return "mae" if name.startswith(("vit", "deit")) else "22k"


def settings(recipe: str, model: str, batch: int | None = None) -> tuple[dict[str, Any], str]:
    """The settings of a recipe, as fields of `Config`, and a line with its origin and its guessed values.

    Args:
        recipe: "mae": MAE's `FINETUNE.md` and `main_finetune.py`. "22k": for a ConvNeXt its `TRAINING.md`, for a CSWin
            EfficientTrain++'s `EVAL.md`.
        model: any name. A size that was not published gets the values of the smallest published size.
        batch: samples per step, to which the learning rate is proportional; None: the recipe's.

    Raises:
        ValueError: an unknown recipe.
    """
    if recipe not in RECIPES:
        raise ValueError(f"`recipe` must be one of {', '.join(RECIPES)}, got {recipe!r}.")
    name = canonical(model)
    made = _mae(name, batch or 1024) if recipe == "mae" else _from_22k(name, batch or 512)
    usual = {"curriculum": "none", "optimizer": "adamw", "clip_grad": 0.0, "smoothing": 0.1, "reprob": 0.25}
    return {**usual, **made[0]}, made[1]


def _mae(name: str, batch: int) -> tuple[dict[str, Any], str]:
    size = next((size for size in MAE if f"_{size}" in name), None)
    epochs, rate, decay, drop = MAE[size or "base"]
    made: dict[str, Any] = {
        "epochs": epochs, "batch": batch, "lr": rate * batch / 256, "layer_decay": decay, "drop_path": drop,
        "weight_decay": 0.05, "warmup": 5 / epochs, "mixup": 0.8, "cutmix": 1.0, "ema": 0.0,
        "head_scale": 1e-3,  # the authors initialise the head with a deviation of 2e-5, timm with 0.02
    }  # fmt: skip
    if ":" not in name:
        made["pool"] = "avg"
    guess = "" if size and name.startswith("vit") else "; a guess for this model, which MAE did not fine-tune"
    return made, f"recipe mae, of ViT-{(size or 'base')[0].upper()} (MAE, FINETUNE.md){guess}"


def _from_22k(name: str, batch: int) -> tuple[dict[str, Any], str]:
    made: dict[str, Any] = {
        "epochs": 30.0, "batch": batch, "lr": 5e-5 * batch / 512, "layer_decay": 0.9, "drop_path": 0.2,
        "weight_decay": 1e-8, "warmup": 0.0, "mixup": 0.0, "cutmix": 0.0, "ema": 0.9998,
    }  # fmt: skip
    size = next((size for size in CONVNEXT if f"_{size}" in name), None)
    if name.startswith("convnext"):
        made |= {"layer_decay": 0.8, "drop_path": CONVNEXT[size or "base"], "head_scale": 1e-3}
        made["ema"] = 0.9999 if size == "xlarge" else 0.0
        source, known = "ConvNeXt, TRAINING.md", size is not None
    else:
        source, known = "CSWin-B, EfficientTrain++, EVAL.md", name == "cswin_base"
    return made, f"recipe 22k ({source}){'' if known else '; a guess for this model'}"
