"""Settings of cropping and resizing: training's random crop and evaluation's fixed crop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..values import number, one_of, probability, whole

CropMode = Literal["center", "squash", "border"]
Interpolation = Literal["bicubic", "bilinear", "lanczos", "fourier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropGeometry:
    """Settings of training's random crop and of evaluation's fixed crop.

    Training follows `torchvision.transforms.RandomResizedCrop` and `RandomHorizontalFlip`. Evaluation resizes the whole
    image, then crops the centre, as torchvision's presets and timm's `transforms_imagenet_eval` do.

    Raises:
        ValueError: a value out of range; the message gives the rule and the value.
    """

    scale: Sequence[float] = (0.08, 1.0)
    """Training: smallest and largest share of the image's area that a crop aims at."""
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    """Training: smallest and largest width / height that a crop aims at."""
    hflip: float = 0.5
    """Training: probability of mirroring left to right."""
    crop_pct: float = 0.875
    """Evaluation: side of the crop / side of the resized image, as in timm: resized to floor(resolution / crop_pct).
    Above 1, the crop is padded: with black, in mode "border" with `fill`."""
    crop_mode: CropMode = "center"
    """Evaluation, as in timm. "center": the short side is resized and the aspect ratio kept. "squash": both sides are
    resized to the same size. "border": the long side is resized, the aspect ratio kept and the rest filled with `fill`.
    """
    resize_size: int | None = None
    """Evaluation: side of the resized image in pixels, in place of floor(resolution / crop_pct), as torchvision's
    `Resize(232)`."""
    resize_at: int | None = None
    """The resolution for which `resize_size` is meant. At other resolutions the crop shows the same part of the image.
    None: `resize_size` applies at all resolutions."""
    interpolation: Interpolation | None = None
    """Evaluation: Pillow's filter of that name, or "fourier", see `filters.build`. None: the filter of training."""
    fill: Sequence[int] = (124, 116, 104)
    """Evaluation, mode "border": colour R, G, B of the border, 0 to 255 each; by default ImageNet's mean."""

    def __post_init__(self) -> None:
        _pair("scale", self.scale, 1.0)
        _pair("ratio", self.ratio, math.inf)
        probability("hflip", self.hflip)
        if not (number(self.crop_pct) and 0 < self.crop_pct <= 2):
            raise ValueError(
                f"`crop_pct` must be a number above 0 and at most 2, got {self.crop_pct!r}; "
                "it is a share, not a percentage."
            )
        one_of("crop_mode", self.crop_mode, get_args(CropMode))
        if self.interpolation is not None:
            one_of("interpolation", self.interpolation, get_args(Interpolation))
        if self.resize_size is not None and not (whole(self.resize_size) and 1 <= self.resize_size <= 65535):
            raise ValueError(
                f"`resize_size` must be a whole number of pixels from 1 to 65535, or None, got {self.resize_size!r}."
            )
        if not (_length(self.fill) == 3 and all(whole(value) and 0 <= value <= 255 for value in self.fill)):
            raise ValueError(f"`fill` must be three whole numbers from 0 to 255, R, G and B, got {self.fill!r}.")

    def resized(self, resolution: int) -> int:
        """Side in pixels to which evaluation resizes an image before it crops `resolution` x `resolution`."""
        if self.resize_size is None:
            return math.floor(resolution / self.crop_pct)
        return max(1, round(self.resize_size * resolution / (self.resize_at or resolution)))


def _pair(name: str, value: Any, largest: float) -> None:
    sound = _length(value) == 2 and all(number(end) and math.isfinite(end) for end in value)
    if not (sound and 0 < value[0] <= value[1] <= largest):
        limit = "" if largest == math.inf else f" and at most {largest:g}"
        raise ValueError(f"`{name}` must be two numbers (smallest, largest), above 0{limit}, got {value!r}.")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (tuple, list)) else 0
