"""Greyscale images at random, as torchvision's `RandomGrayscale` makes them of Pillow images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..batch import Batch
from ..plan.rng import Purpose, uniform, words
from .device import drawn_by
from .randaugment import check, perform
from .randaugment_ops import Op


class RandomGrayscale(nn.Module):
    """Makes some images of a batch grey: three equal channels.

    The choice depends on (seed, epoch, draw key) alone. Pixels are those of
    `torchvision.transforms.RandomGrayscale` on Pillow images.

    Args:
        p: probability of each image, 0 to 1.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"`p` must be a probability, 0 to 1, got {p}.")
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(
        self,
        images: torch.Tensor,
        batch: Batch | NDArray[np.int64],
        *,
        seed: int | None = None,
        epoch: int | None = None,
    ) -> torch.Tensor:
        """Copies of `images`, uint8 [N, 3, B, B], some of them grey.

        Args:
            images: uint8 [N, 3, B, B] on any device.
            batch: the loader's `Batch`; or draw keys [N] on the host, together with `seed` and `epoch`.
            seed: 0 to 2**64 - 1; None: the batch's.
            epoch: 0 to 2**32 - 1; None: the batch's.

        Raises:
            ValueError: for another shape or dtype, or another number of indices than of images.
        """
        indices, seed, epoch = drawn_by(batch, seed, epoch)
        check(images, indices)
        grey = uniform(words(seed, epoch, indices, Purpose.GRAYSCALE, 1)) < self.p
        return perform(images, np.where(grey, Op.COLOR, -1), np.zeros(grey.shape))
