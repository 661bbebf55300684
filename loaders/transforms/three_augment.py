"""3-Augment of whole batches: each image is made grey, solarized or blurred.

Touvron, Cord and Jégou, "DeiT III: Revenge of the ViT" (arXiv 2204.07118), section 3.1. The released code and timm's
`auto_augment_transform("3a")` use the same parameters: solarize from level 128 on, blur by a Gaussian whose standard
deviation is uniform from 0.1 to 2 pixels. DeiT III applies `ColorJitter(0.3, 0.3, 0.3)` after it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional as F

from ..plan.rng import Purpose, below, between, words
from .device import portions, put
from .keyed import KeyedTransform
from .randaugment import perform
from .randaugment_ops import Op

THRESHOLD = 128
SIGMA = (0.1, 2.0)
_GREY, _SOLARIZE, _BLUR = range(3)
_PASSES = 3  # box filters along each axis


class ThreeAugment(KeyedTransform):
    """Makes each image of a batch grey, solarizes it or blurs it, with equal probability.

    The choice depends only on (seed, epoch, draw key). Pixels equal those of timm's Pillow operations.

    Args:
        sigma: smallest and largest standard deviation of the blur, pixels.
    """

    def __init__(self, sigma: tuple[float, float] = SIGMA) -> None:
        super().__init__()
        if not 0 <= sigma[0] <= sigma[1] < math.inf:
            raise ValueError(f"`sigma` must be two numbers in rising order, 0 or more, got {sigma}.")
        self.sigma = sigma

    def extra_repr(self) -> str:
        return f"sigma={self.sigma}"

    def augment(self, images: torch.Tensor, keys: NDArray[np.int64], *, seed: int, epoch: int) -> torch.Tensor:
        """See `KeyedTransform`."""
        choice, sigma = self.plan(keys, seed=seed, epoch=epoch)
        op = np.array([Op.COLOR, Op.SOLARIZE, -1])[choice]
        made = perform(images, op[:, None], np.where(op == Op.SOLARIZE, THRESHOLD, 0.0)[:, None])
        blurred = np.flatnonzero(choice == _BLUR)
        if images.device.type == "cpu" and not torch.compiler.is_compiling():
            # By NumPy: for such indexing torch uses threads, which wait for the decoding threads.
            some = torch.from_numpy(images.numpy()[blurred])
            made.numpy()[blurred] = gaussian_blur(some, sigma[blurred]).numpy()
            return made
        rows = put(blurred, images.device)
        return made.index_copy_(0, rows, gaussian_blur(images.index_select(0, rows), sigma[blurred]))

    def plan(self, keys: NDArray[np.int64], *, seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The changes that `forward` makes to each sample: two arrays [n].

        The first holds 0 for grey, 1 for solarize and 2 for blur; the second the standard deviation of the blur.
        """
        drawn = words(seed, epoch, keys, Purpose.THREE_AUGMENT, 2)
        low, high = self.sigma
        return below(drawn[:, 0], 3), between(low, high, drawn[:, 1])


def gaussian_blur(images: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    """Gaussian blur as Pillow approximates it, see `box_filters`; on a CPU by Pillow itself, which is faster.

    Args:
        images: uint8 [n, 3, B, B].
        sigma: standard deviation of each image's blur, pixels, [n].

    Returns:
        A new uint8 [n, 3, B, B].
    """
    if not len(images):
        return images.clone()
    on_cpu = images.device.type == "cpu" and not torch.compiler.is_compiling()
    return _by_pillow(images, sigma) if on_cpu and _pillow_agrees() else box_filters(images, sigma)


def _by_pillow(images: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    done = np.empty(images.shape, np.uint8)
    for k, channels in enumerate(images.numpy()):
        blur = ImageFilter.GaussianBlur(float(sigma[k]))
        for c, channel in enumerate(channels):
            done[k, c] = np.asarray(Image.fromarray(channel).filter(blur))
    return torch.from_numpy(done)


@lru_cache(maxsize=1)
def _pillow_agrees() -> bool:
    """Whether this Pillow, or its replacement, has the pixels of `box_filters`, which are the same everywhere."""
    images = torch.arange(4 * 3 * 16 * 16).mul(40503).bitwise_right_shift(4).to(torch.uint8).view(4, 3, 16, 16)
    sigma = np.array([0.1, 0.7, 1.3, 2.0])
    return torch.equal(_by_pillow(images, sigma), box_filters(images, sigma))


def box_filters(images: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    """`gaussian_blur` on any device: three box filters along the rows, then three along the columns.

    Each filter is rounded to whole levels. Edge pixels are repeated beyond the edge.
    """
    radius = box_radius(sigma)
    weights = put(box_weights(radius), images.device)
    parts = [
        _box(_box(images[part], weights[:, part]).mT.contiguous(), weights[:, part]).mT for part in portions(images)
    ]
    return torch.cat(parts)


def box_radius(sigma: NDArray[np.float64]) -> NDArray[np.float32]:
    """Radii of the box filters, including fractions, in Pillow's single precision.

    Gwosdek, Grewenig, Bruhn and Weickert, "Theoretical foundations of Gaussian convolution by extended box filtering"
    (SSVM 2011): `_PASSES` boxes of this radius have the variance sigma**2.
    """
    variance = sigma.astype(np.float32) ** 2 / np.float32(_PASSES)
    length = np.sqrt(12.0 * variance.astype(np.float64) + 1.0).astype(np.float32)
    whole = np.floor((length.astype(np.float64) - 1.0) / 2.0).astype(np.float32)
    one = np.float32(1)
    part = (2 * whole + one) * (whole * (whole + one) - 3 * variance)
    return whole + part / (6 * (variance - (whole + one) * (whole + one)))


def box_weights(radius: NDArray[np.float32]) -> NDArray[np.int32]:
    """Weights of the centre and of the pixels at distance 1, 2, ..., in multiples of 2**-24, [taps, n]."""
    inner = radius.astype(np.int64)
    full = (np.float32(2**24) / (radius * np.float32(2) + np.float32(1))).astype(np.int64)
    edge = (2**24 - (2 * inner + 1) * full) // 2
    distance = np.arange(inner.max() + 2)[:, None]
    weights = np.where(distance <= inner, full, np.where(distance == inner + 1, edge, 0))
    return weights.astype(np.int32)


def _box(levels: Tensor, weights: Tensor) -> Tensor:
    """Three box filters along the last axis. weights: int32 [taps, n]."""
    taps = len(weights) - 1
    each = weights[:, :, None, None, None]
    # Levels are counted from 128, so that weighted sums fit 32 bits. The weights may add up to a little less than 1.
    bias = (1 << 23) - 128 * ((1 << 24) - (each[0] + 2 * each[1:].sum(0, dtype=torch.int32)))
    side = levels.shape[-1]
    now = levels.int() - 128
    for _ in range(_PASSES):
        wide = F.pad(now.double(), (taps, taps, 0, 0), mode="replicate").int()
        now = wide[..., taps : taps + side] * each[0] + bias
        for tap in range(1, taps + 1):
            now += (wide[..., taps - tap : taps - tap + side] + wide[..., taps + tap : taps + tap + side]) * each[tap]
        now >>= 24
    return (now + 128).to(torch.uint8)
