"""`eval_like`: the arguments that make a Loader preprocess as a pretrained model's own evaluation does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .loader import IMAGENET_MEAN, IMAGENET_STD

_INTERPOLATIONS = ("bicubic", "bilinear", "lanczos")


def eval_like(model: Any, *, test_size: bool = False) -> dict[str, Any]:
    """The arguments of a Loader that reproduce the preprocessing of a pretrained model's evaluation.

    `Loader("photos/val", train=False, **eval_like(model))`. Neither timm nor torchvision is imported.

    Args:
        model: a timm model, also inside DistributedDataParallel or `torch.compile`; its `pretrained_cfg`; a data
            config of `timm.data.resolve_data_config`; a torchvision weights enum such as
            `ResNet50_Weights.IMAGENET1K_V2`; or the `ImageClassification` preset of its `transforms()`.
        test_size: use `test_input_size` and `test_crop_pct` of timm's configurations, if there are any.

    Returns:
        `resolution`, `interpolation`, `mean` and `std`; for timm also `crop_pct` and `crop_mode`; for torchvision also
        `resize_size`.

    Raises:
        TypeError: `model` is none of these.
        ValueError: the model needs inputs that a Loader does not deliver: not square, not RGB, or with another
            interpolation.
    """
    while hasattr(model, "module") or hasattr(model, "_orig_mod"):
        model = model.module if hasattr(model, "module") else model._orig_mod
    if callable(getattr(model, "transforms", None)) and hasattr(model, "meta"):
        model = model.transforms()
    if all(hasattr(model, name) for name in ("crop_size", "resize_size", "interpolation", "mean", "std")):
        return _of_preset(model)
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or model
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if not isinstance(config, Mapping) or not {"input_size", "interpolation", "mean"} & config.keys():
        raise TypeError(
            "`model` must be a timm model, its pretrained_cfg or data config, or torchvision weights such as "
            f"ResNet50_Weights.IMAGENET1K_V2, got {type(model).__name__}."
        )
    return _of_timm(config, test_size)


def _of_preset(preset: Any) -> dict[str, Any]:
    """The arguments for torchvision's `transforms.ImageClassification`."""
    interpolation = getattr(preset.interpolation, "value", preset.interpolation)
    return {
        "resolution": _side("crop_size", preset.crop_size),
        "resize_size": _side("resize_size", preset.resize_size),
        **_common(interpolation, preset.mean, preset.std),
    }


def _of_timm(config: Mapping[str, Any], test_size: bool) -> dict[str, Any]:
    """The arguments for a configuration, with the fallbacks of `timm.data.resolve_data_config`."""

    def value(name: str, default: Any) -> Any:
        return (test_size and config.get(f"test_{name}")) or config.get(name) or default

    channels, *sides = value("input_size", (3, 224, 224))
    if channels != 3:
        raise ValueError(f"a Loader delivers 3 channels, R, G and B; the model wants {channels}.")
    return {
        "resolution": _side("input_size", sides),
        "crop_pct": float(value("crop_pct", 0.875)),
        "crop_mode": value("crop_mode", "center"),
        **_common(value("interpolation", "bicubic"), value("mean", IMAGENET_MEAN), value("std", IMAGENET_STD)),
    }


def _common(interpolation: str, mean: Any, std: Any) -> dict[str, Any]:
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(
            f"a Loader's `interpolation` is one of {', '.join(map(repr, _INTERPOLATIONS))}; "
            f"the model wants {interpolation!r}."
        )
    return {"interpolation": interpolation, "mean": tuple(mean), "std": tuple(std)}


def _side(name: str, size: Any) -> int:
    """The side of a square given as one number, or as one or two in a list."""
    sides = list(size) if isinstance(size, (list, tuple)) else [size]
    if len(set(sides)) != 1:
        raise ValueError(f"a Loader delivers squares; the model's `{name}` is {' x '.join(map(str, sides))}.")
    return int(sides[0])
