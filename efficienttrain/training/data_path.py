"""The operations from a training's crops to inputs of B x B pixels.

* "fast", the default: crops are resampled once, to B x B; RandAugment, normalisation and erasing work on these pixels.
* "published": the order of the released code. Crops become 224 x 224 (bicubic), are flipped and augmented there. Then
  EfficientTrain++ resizes them to B (Lanczos, 8 bits), normalises and erases (`datasets_buffer.py`); EfficientTrain of
  2023 normalises, erases at 224 and keeps the low frequencies (Fourier, `utils.py` and `engine.py`). Decoding and
  augmenting at 224 costs most of the time that a small B saves in loading.
"""

from __future__ import annotations

from typing import Any

import torch

from efficienttrain._loaders import (
    ColorJitter,
    LowFrequencyCrop,
    Normalize,
    RandAugment,
    RandomErasing,
    ThreeAugment,
    TrivialAugmentWide,
)
from efficienttrain.curriculum import BASE
from efficienttrain.recipe import Recipe

INTERPOLATION = {"fast": "fourier", "published": "bicubic"}
"""Resampling filter of crops, if the recipe does not set one."""


def train_options(recipe: Recipe, size: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """The training loader's arguments that follow from the recipe.

    Args:
        recipe: of the training.
        size: full size, pixels.
        dtype: of the delivered images.

    Raises:
        ValueError: the published path at a full size above 224.
    """
    if recipe.data_path == "published" and size > BASE:
        raise ValueError(f'`data_path` "published" must have a `size` of at most {BASE}, got {size}; take "fast".')
    options = {**_options(recipe), "scale": recipe.scale, "ratio": recipe.ratio, "hflip": recipe.hflip}
    # Whether the loader augments and erases by itself.
    usual = recipe.auto_augment == "rand" and not recipe.color_jitter
    usual = usual and (not recipe.reprob or (recipe.remode, recipe.recount) == ("pixel", 1))
    if recipe.data_path == "fast":
        return {**options, **({"erase": recipe.reprob} if usual else {"transforms": [Inputs(recipe, dtype)]})}
    options["augment_at"] = "base"
    if usual and (recipe.low_frequency, options["interpolation"]) == ("lanczos", "bicubic"):
        # The loader's own order is that of 2024, and its crops of 224 x 224 are bicubic.
        return {**options, "interpolation": "lanczos", "erase": recipe.reprob}
    return {**options, "transforms": [Inputs(recipe, dtype)]}


def eval_options(recipe: Recipe) -> dict[str, Any]:
    """The evaluation loader's arguments that follow from the recipe."""
    return {**_options(recipe), "crop_pct": recipe.crop_pct}


class Inputs:
    """A batch transform: augments, reduces to B, normalises and erases, in the recipe's order.

    Takes uint8 [n, 3, S, S] with S = 224 or S = B pixels; returns [n, 3, B, B] of `dtype`.
    """

    def __init__(self, recipe: Recipe, dtype: torch.dtype = torch.float32) -> None:
        red, green, blue = (min(255, round(255 * value)) for value in recipe.mean)
        self._fill = (red, green, blue)  # timm's fill colour for pixels from outside the image
        self._late = recipe.low_frequency == "fourier"
        self._method, self._dtype, self._kind = recipe.low_frequency, dtype, recipe.auto_augment
        jitter = recipe.color_jitter
        self._jitter = ColorJitter(jitter, jitter, jitter) if jitter else None
        self._normalise = Normalize(recipe.mean, recipe.std, torch.float32 if self._late else dtype)
        self._erase = RandomErasing(recipe.reprob, mode=recipe.remode, count=recipe.recount)

    def __call__(self, images: torch.Tensor, batch: Any) -> torch.Tensor:
        """The network's inputs; `batch`: the loader's `Batch`."""
        keep = LowFrequencyCrop(batch.resolution, self._method)
        if batch.magnitude is not None and self._kind != "none":
            images = self._augment(batch.magnitude)(images, batch)
        if self._jitter is not None:
            images = self._jitter(images, batch)
        if self._late:
            return keep(self._erase(self._normalise(images), batch)).to(self._dtype)
        return self._erase(self._normalise(keep(images)), batch)

    def _augment(self, magnitude: float) -> torch.nn.Module:
        if self._kind == "3a":
            return ThreeAugment()
        return (
            TrivialAugmentWide(fill=self._fill) if self._kind == "trivial" else RandAugment(magnitude, fill=self._fill)
        )


def _options(recipe: Recipe) -> dict[str, Any]:
    interpolation = recipe.interpolation or INTERPOLATION[recipe.data_path]
    return {"mean": recipe.mean, "std": recipe.std, "interpolation": interpolation}
