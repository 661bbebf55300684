"""Greyscale images at random, as torchvision's `RandomGrayscale` makes them of Pillow images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..plan.rng import Purpose, uniform, words
from .keyed import KeyedTransform
from .randaugment import perform
from .randaugment_ops import Op


class RandomGrayscale(KeyedTransform):
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

    def augment(self, images: torch.Tensor, keys: NDArray[np.int64], *, seed: int, epoch: int) -> torch.Tensor:
        """See `KeyedTransform`."""
        grey = uniform(words(seed, epoch, keys, Purpose.GRAYSCALE, 1)) < self.p
        return perform(images, np.where(grey, Op.COLOR, -1), np.zeros(grey.shape))
