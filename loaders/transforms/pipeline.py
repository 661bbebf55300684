"""From the kernel's 8-bit pixels to what the model gets: augmentation and normalisation, on the batch's own device."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..stage import Stage
from . import LowFrequencyCrop, Normalize, RandAugment, RandomErasing

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "uint8": torch.uint8}
BASE = 224
"""Side at which the published code augments, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _AtBase(Stage):
    """A stage that is decoded and augmented at the base, and brought down to `reduced` pixels a side after that."""

    reduced: int


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The last station. `output` is a key of DTYPES; anything but uint8 is (pixel / 255 - mean) / std.

    augment_at: "resolution": pictures come at the resolution and are augmented there; "base": in the published order,
    at `BASE` pixels, and then brought down, by `method` of `LowFrequencyCrop`. erase: probability of `RandomErasing`.

    Raises:
        ValueError: what cannot be done together; the message says why.
    """

    output: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    seed: int
    augment_at: str = "resolution"
    method: str = "fourier"
    erase: float = 0.0

    def __post_init__(self) -> None:
        if self.augment_at == "base" and self.method not in ("fourier", "lanczos"):
            raise ValueError(
                f'`augment_at="base"` must be used with `filter` "fourier" or "lanczos", got {self.method!r}.'
            )
        if self.erase and self.output == "uint8":
            raise ValueError(f'`erase` must be 0 for `output="uint8"`, got {self.erase}: its noise is normalised.')

    def decoded(self, stage: Stage) -> Stage:
        """The stage that a backend is to decode, and to hand over here, for `stage` to come out."""
        if self.augment_at == "resolution" or stage.resolution >= BASE:
            return stage
        asked = {field.name: getattr(stage, field.name) for field in fields(stage)}
        return _AtBase(**{**asked, "resolution": BASE}, reduced=stage.resolution)

    def lut(self, stage: Stage) -> NDArray[Any] | None:
        """[3, 256] that lets the kernel write finished values itself, or None where it must leave 8-bit pixels.

        On the CPU a look-up while the pixels are in cache is cheaper than another pass over the batch; a GPU takes a
        quarter of the bytes over the bus and does the arithmetic itself.
        """
        ahead = stage.magnitude is not None or isinstance(stage, _AtBase)
        return None if ahead or self.output == "uint8" or self.device.type == "cuda" else self._lut

    @cached_property
    def _lut(self) -> NDArray[Any]:
        every = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
        values = self._normalise(every).reshape(3, 256)
        return values.view(torch.int32 if values.itemsize == 4 else torch.int16).numpy()

    def tensor(self, out: NDArray[np.uint8], stage: Stage) -> torch.Tensor:
        """The bytes the kernel wrote as [n, 3, B, B]."""
        dtype = torch.uint8 if self.lut(stage) is None else DTYPES[self.output]
        images = torch.from_numpy(out.reshape(-1, 3, stage.resolution, stage.resolution * dtype.itemsize))
        return images if dtype is torch.uint8 else images.view(dtype)

    def __call__(self, images: torch.Tensor, indices: NDArray[np.int64], stage: Stage, epoch: int) -> torch.Tensor:
        """What `lut` left to do, on `images`' device and the current stream."""
        if stage.magnitude is not None:
            augment = RandAugment(stage.magnitude, fill=self._fill)
            images = augment(images, indices, seed=self.seed, epoch=epoch)
        if isinstance(stage, _AtBase):
            if self.method == "fourier" and self.output != "uint8":
                images = images.float()  # the ICCV code's are floats; the TPAMI code's Lanczos rounds
            images = LowFrequencyCrop(stage.reduced, self.method)(images)
        if self.output != "uint8" and self.lut(stage) is None:
            images = self._normalise(images)
        if self.erase:
            images = RandomErasing(self.erase)(images, indices, seed=self.seed, epoch=epoch)
        return images

    @cached_property
    def _normalise(self) -> Normalize:
        return Normalize(self.mean, self.std, DTYPES[self.output])

    @property
    def _fill(self) -> tuple[int, int, int]:
        """What moves in from outside is the mean colour, as in timm's `create_transform`."""
        red, green, blue = (min(255, round(255 * value)) for value in self.mean)
        return red, green, blue
