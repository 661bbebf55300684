"""From the kernel's 8-bit pixels to what the model gets: augmentation and normalisation, on the batch's own device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from loaders.stage import Stage

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "uint8": torch.uint8}


@dataclass(frozen=True, kw_only=True)
class Finish:
    """The last station. `output` is a key of DTYPES; anything but uint8 is (pixel / 255 - mean) / std."""

    output: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    seed: int

    def lut(self, stage: Stage) -> NDArray[Any] | None:
        """[3, 256] that lets the kernel write finished values itself, or None where it must leave 8-bit pixels.

        On the CPU a look-up while the pixels are in cache is cheaper than another pass over the batch; a GPU takes a
        quarter of the bytes over the bus and does the arithmetic itself.
        """
        leave = self.output == "uint8" or self.device.type == "cuda" or stage.magnitude is not None
        return None if leave else self._lut

    @cached_property
    def _lut(self) -> NDArray[Any]:
        every = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
        values = self._normalise(every).reshape(3, 256).contiguous()
        return values.view(torch.int32 if values.itemsize == 4 else torch.int16).numpy()

    def tensor(self, out: NDArray[np.uint8], stage: Stage) -> torch.Tensor:
        """The bytes the kernel wrote as [n, 3, B, B]."""
        dtype = torch.uint8 if self.lut(stage) is None else DTYPES[self.output]
        return torch.from_numpy(out).view(dtype).view(-1, 3, stage.bandwidth, stage.bandwidth)

    def __call__(self, images: torch.Tensor, indices: NDArray[np.int64], stage: Stage, epoch: int) -> torch.Tensor:
        """What `lut` left to do, on `images`' device and the current stream."""
        if stage.magnitude is not None:
            from loaders.ops import RandAugment

            images = RandAugment(stage.magnitude)(images, indices, seed=self.seed, epoch=epoch)
        if images.dtype == torch.uint8 and self.output != "uint8":
            images = self._normalise(images)
        return images

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        return images.float().div_(255).sub_(mean).div_(std).to(DTYPES[self.output])
