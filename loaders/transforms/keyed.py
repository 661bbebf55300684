"""The common base of batch transforms with keyed randomness on 8-bit images."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..batch import Batch
from .device import drawn_by


class KeyedTransform(nn.Module):
    """Augments every image of a batch by separate random draws, which depend only on (seed, epoch, draw key)."""

    def forward(
        self,
        images: torch.Tensor,
        batch: Batch | NDArray[np.int64],
        *,
        seed: int | None = None,
        epoch: int | None = None,
    ) -> torch.Tensor:
        """Augmented copies of `images`, uint8 [N, 3, B, B].

        Args:
            images: uint8 [N, 3, B, B] on any device.
            batch: the loader's `Batch`; or draw keys [N] on the host, together with `seed` and `epoch`.
            seed: 0 to 2**64 - 1; None: the batch's.
            epoch: 0 to 2**32 - 1; None: the batch's.

        Raises:
            ValueError: for another shape or dtype, or another number of keys than of images.
        """
        keys, seed, epoch = drawn_by(batch, seed, epoch)
        check(images, keys)
        return self.augment(images, keys, seed=seed, epoch=epoch)

    @abstractmethod
    def augment(self, images: torch.Tensor, keys: NDArray[np.int64], *, seed: int, epoch: int) -> torch.Tensor:
        """As `forward`, with arguments that are already checked."""


def check(images: torch.Tensor, keys: NDArray[np.int64]) -> None:
    """Raises ValueError unless `images` is a uint8 batch of square images and `keys` one integer for each."""
    if images.dtype != torch.uint8:
        raise ValueError(f"`images` must be uint8, got {images.dtype}; augment before normalising.")
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"`images` must be [N, 3, B, B], got {list(images.shape)}; put channels second.")
    if np.shape(keys) != (len(images),):
        raise ValueError(f"`batch` must have a draw key for each image, [{len(images)}], got {list(np.shape(keys))}.")
