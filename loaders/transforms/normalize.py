"""Pixels as a model's input: normalised, in its dtype and memory format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..native import finished
from ..stage import LARGEST
from .device import bits, blank_like, constant, portions


class Normalize(nn.Module):
    """(pixel / 255 - mean) / std, directly in the requested dtype and memory format.

    On CUDA this is one kernel, which reads uint8 and writes the result. A CPU gives the bits of torchvision's
    `to_tensor` and `normalize`; CUDA's results differ by one rounding of float32. On a CPU the kernel of this package
    looks the levels of square uint8 images up; others are processed in portions that fit into the caches. A float32
    copy of the batch is made only if float32 is requested.

    Args:
        mean: per channel, of pixels in 0 to 1.
        std: per channel, above 0.
        dtype: floating-point.
        memory_format: `torch.contiguous_format` or `torch.channels_last`.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise ValueError(f"`mean` and `std` must be as many numbers, `std` above 0, got {mean} and {std}.")
        if not dtype.is_floating_point:
            raise ValueError(f"`dtype` must be floating-point, got {dtype}.")
        if memory_format not in (torch.contiguous_format, torch.channels_last):
            raise ValueError(f"`memory_format` must be contiguous_format or channels_last, got {memory_format}.")
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.dtype = dtype
        self.memory_format = memory_format

    def extra_repr(self) -> str:
        return f"mean={self.mean}, std={self.std}, dtype={self.dtype}, memory_format={self.memory_format}"

    def forward(self, images: Tensor, _batch: object = None) -> Tensor:
        """Normalised copies of `images`.

        Args:
            images: uint8 or floating-point [N, C, H, W], levels from 0 to 255, on any device.

        Returns:
            `dtype` [N, C, H, W] in `memory_format`.

        Raises:
            ValueError: for another shape.
        """
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise ValueError(f"`images` must be [N, {len(self.mean)}, H, W], got {list(images.shape)}.")
        if torch.compiler.is_compiling():
            return self._exact(images)
        if self._in_table(images):
            return self._looked_up(images)
        done = blank_like(images, self.dtype, self.memory_format)
        if images.device.type == "cpu":
            for part in portions(images):
                done[part] = self._exact(images[part])
            return done
        return self._fused(images, done)

    def table(self, device: torch.device) -> Tensor:
        """`dtype` [C, 256] on `device`, made once: the result for each level, with the bits that a CPU gives."""
        return _table(self.mean, self.std, self.dtype, device)

    def _in_table(self, images: Tensor) -> bool:
        n, channels, height, width = images.shape
        kernels = images.device.type == "cpu" and images.dtype == torch.uint8 and self.dtype.itemsize in (2, 4)
        return kernels and n > 0 and channels == 3 and height == width <= LARGEST

    def _looked_up(self, images: Tensor) -> Tensor:
        """The bits of `_exact`, without torch's threads, which the decoding threads would delay."""
        last = self.memory_format == torch.channels_last
        done = finished(images.numpy(), lut=bits(self.table(images.device)), channels_last=last)
        values = torch.from_numpy(done).view(self.dtype)
        return values.permute(0, 3, 1, 2) if last else values

    def _exact(self, images: Tensor) -> Tensor:
        mean, std = constant(_rows, self.mean, self.std, device=images.device)
        # The memory format last: torch permutes a batch fast only if it does not convert the dtype at the same time.
        values = images.to(torch.float32, copy=True).div_(255).sub_(mean).div_(std).to(self.dtype)
        return values.contiguous(memory_format=self.memory_format)

    def _fused(self, images: Tensor, done: Tensor) -> Tensor:
        scale, shift = constant(_line, self.mean, self.std, device=images.device)
        return torch.addcmul(shift, images, scale, out=done)


@lru_cache(maxsize=8)
def _table(mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    levels = torch.arange(256, dtype=torch.uint8, device="cpu").expand(1, len(mean), 1, 256)
    with torch.inference_mode(False):  # as in device.py
        return Normalize(mean, std, dtype)(levels).reshape(len(mean), 256).to(device)


def _rows(mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float64]:
    """[2, C, 1, 1]: mean and standard deviation."""
    return np.array([mean, std])[..., None, None]


def _line(mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float64]:
    """[2, C, 1, 1]: factor and offset of a level."""
    return np.array([1 / (255 * np.array(std)), -np.array(mean) / np.array(std)])[..., None, None]
