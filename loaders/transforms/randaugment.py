"""RandAugment of whole batches, as timm's `rand-m{M}-mstd0.5-inc1` for one image.

Cubuk, Zoph, Shlens and Le, "RandAugment: practical automated data augmentation with a reduced search space"
(arXiv 1909.13719), in the variant of timm.data.auto_augment, which the EfficientTrain++ recipes use: `num_ops`
operations per image, each of 15 equally likely (repeats allowed), each skipped half of the time, each at a
strength drawn anew from a normal distribution around the magnitude.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch import Batch
from ..native import Augment, finished
from ..plan.rng import Purpose, below, uniform, words
from ..stage import LARGEST
from . import fused
from .keyed import KeyedTransform
from .normalize import Normalize
from .randaugment_ops import Op, augment, by_operation, moves, pack, packed_weights

MAX_MAGNITUDE = 10
PROBABILITY = 0.5
IMAGENET_MEAN = (124, 116, 104)
_WORDS = 5  # per operation: its choice, whether to skip it, two for the strength, the sign


class RandAugment(KeyedTransform):
    """Augments every image of a batch by different operations.

    The augmentation of a sample depends on (seed, epoch, draw key) only: not on its batch, the
    device or torch's random state. `set_magnitude` works at any time without rebuilding. Each call accepts any batch
    size and resolution.

    Given the same arguments, pixels equal those of timm's Pillow operations with bicubic interpolation, except for
    rotations, shears and translations, which differ by 1 level at most. They are the same on every device: a CPU runs
    the C++ kernel, other devices run `augment` of randaugment_ops.py, whose arithmetic is exact.

    Args:
        magnitude: strength M, 0 to 10. 0 is not the identity: some operations have no strength, and half of all
            draws of the others come out above 0.
        mstd: standard deviation of each operation's strength, 0 or more; strengths are clipped to 0 to 10.
        num_ops: operations per image, 1 or more.
        increasing: True for timm's `inc1`: every operation's effect grows with its strength.
        base: resolution in pixels for which strengths are defined. Rotation, shear and translation are relative to
            the image's side and need no scaling. Sharpness compares a pixel with its neighbours, which at a
            smaller resolution are farther away in the image, so it is weakened to match (see `arguments`).
        fill: red, green and blue levels, 0 to 255, of pixels that move in from outside; the mean of the data.
        then: normalises the result.
    """

    def __init__(
        self,
        magnitude: float,
        mstd: float = 0.5,
        num_ops: int = 2,
        increasing: bool = True,
        base: int = 224,
        *,
        fill: tuple[int, int, int] = IMAGENET_MEAN,
        then: Normalize | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= mstd < math.inf:
            raise ValueError(f"`mstd` must be 0 or more and finite, got {mstd}; timm's recipes use 0.5.")
        if num_ops < 1:
            raise ValueError(f"`num_ops` must be 1 or more, got {num_ops}; leave RandAugment out for none.")
        if base < 1:
            raise ValueError(f"`base` must be a resolution in pixels, got {base}; the recipes use 224.")
        self.set_magnitude(magnitude)
        self.mstd = mstd
        self.num_ops = num_ops
        self.increasing = increasing
        self.base = base
        self.fill = fill
        self.then = then

    def set_magnitude(self, magnitude: float) -> None:
        """Sets the strength, 0 to 10, from the next batch on."""
        if not 0 <= magnitude <= MAX_MAGNITUDE:
            raise ValueError(f"`magnitude` must be from 0 to 10, got {magnitude}; leave RandAugment out for none.")
        self.magnitude = magnitude

    def extra_repr(self) -> str:
        return (
            f"magnitude={self.magnitude}, mstd={self.mstd}, num_ops={self.num_ops}, "
            f"increasing={self.increasing}, base={self.base}, fill={self.fill}"
        )

    def augment(self, images: torch.Tensor, keys: NDArray[np.int64], *, seed: int, epoch: int) -> torch.Tensor:
        """See `KeyedTransform.augment`; with `then`, returns its result.

        On a GPU this takes two launches per step and one copy, including normalisation.
        """
        op, argument = self.plan(keys, images.shape[-1], seed=seed, epoch=epoch)
        return perform(images, op, argument, self.fill, self.then)

    def plan(
        self, keys: NDArray[np.int64], side: int, *, seed: int, epoch: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The random draws of `forward` for each sample, in the units of each operation.

        Args:
            keys: draw keys, [n], see `plan.rng.draw_keys`.
            side: B, pixels.
            seed: 0 to 2**64 - 1, the loader's.
            epoch: 0 to 2**32 - 1.

        Returns:
            Two arrays [n, num_ops]: the `Op` (-1 for none) and its argument, see `randaugment_ops.augment`.
        """
        op, strength, sign = draw(keys, self.magnitude, self.mstd, self.num_ops, seed=seed, epoch=epoch)
        return op, arguments(op, strength, sign, self.increasing, min(1.0, side / self.base))

    def moves(self, batch: Batch, side: int) -> NDArray[np.float64]:
        """How `forward` moves the pixels of this batch, see `randaugment_ops.moves`."""
        return moves(*self.plan(batch.keys, side, seed=batch.seed, epoch=batch.epoch), side)

    def for_kernel(self, keys: NDArray[np.int64], side: int, *, seed: int, epoch: int) -> Augment:
        """`plan` in the form of the C++ kernel, which gives the pixels of `forward`, bit for bit."""
        op, argument = self.plan(keys, side, seed=seed, epoch=epoch)
        return Augment(operations=pack(op, argument, side), fill=self.fill, cubic=packed_weights())


def perform(
    images: torch.Tensor,
    op: NDArray[np.int64],
    argument: NDArray[np.float64],
    fill: tuple[int, int, int] = (0, 0, 0),
    then: Normalize | None = None,
) -> torch.Tensor:
    """Applies each image's operations in order, with the fastest implementation for the device of `images`.

    Args:
        images: uint8 [n, 3, B, B].
        op: `Op`s, or -1 for none, [n, steps].
        argument: see `randaugment_ops.augment`, [n, steps].
        fill: red, green and blue levels of pixels that move in from outside.
        then: normalises the result.

    Returns:
        A new uint8 [n, 3, B, B], or the result of `then`, which a GPU computes in the same pass.
    """
    side = images.shape[-1]
    if len(images) and fused.usable(images):
        if then is None:
            return fused.rand_augment(images, op, argument, fill)
        return fused.rand_augment(images, op, argument, fill, then.table(images.device), then.memory_format)
    if images.device.type == "cpu" and side <= LARGEST and not torch.compiler.is_compiling():
        packed = Augment(operations=pack(op, argument, side), fill=fill, cubic=packed_weights())
        images = torch.from_numpy(finished(images.numpy(), packed))
    else:
        # Lower precision would change pixels, because rounding is part of the operations.
        with torch.autocast(images.device.type, enabled=False):
            for step in range(op.shape[1]):
                images = augment(images, op[:, step], argument[:, step], fill)
    return images if then is None else then(images)


def draw(
    keys: NDArray[np.int64], magnitude: float, mstd: float, num_ops: int, *, seed: int, epoch: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Draws the operations, their strengths and their signs for each sample.

    Returns:
        Three arrays [n, num_ops]: the `Op` (-1 for none), its strength from 0 to 10, its sign (1 or -1).
    """
    drawn = words(seed, epoch, keys, Purpose.AUGMENT, _WORDS * num_ops).reshape(len(keys), num_ops, _WORDS)
    fires = uniform(drawn[..., 1]) < PROBABILITY
    op = np.where(fires, below(drawn[..., 0], len(Op)), -1)
    # Box and Muller (1958). The result is rounded, because the last bit of a logarithm differs between machines.
    radius = np.sqrt(-2 * np.log(1 - uniform(drawn[..., 2])))
    normal = np.round(radius * np.cos(2 * np.pi * uniform(drawn[..., 3])), 6)
    strength = np.clip(magnitude + mstd * normal, 0, MAX_MAGNITUDE)
    sign = np.where(uniform(drawn[..., 4]) < 0.5, 1.0, -1.0)
    return op, strength, sign


def arguments(
    op: NDArray[np.int64],
    strength: NDArray[np.float64],
    sign: NDArray[np.float64],
    increasing: bool = True,
    scale: float = 1.0,
) -> NDArray[np.float64]:
    """The arguments of `augment`: strengths in the units of each operation, as timm's level functions give them.

    Args:
        op: `Op`s, any shape; anything else gets 0.
        strength: 0 to 10, same shape.
        sign: 1 or -1, same shape: the direction, for operations that have two.
        increasing: as in `RandAugment`.
        scale: resolution / base, at most 1. Sharpness's effect is multiplied by its square. Blurring by a small
            kernel adds its variance, in square pixels, and a pixel at the base is `scale` pixels wide here. A
            kernel of fixed size with `scale`**2 of the effect adds the same variance. (Without this factor, at 96
            pixels, the result is farther from the published order, sharpening at 224 before the reduction, than
            without Sharpness.)

    Returns:
        Degrees; fractions of the side; bits kept; thresholds, additions (levels); factors (1: no change).
    """
    part = strength / MAX_MAGNITUDE
    if increasing:
        factor = np.maximum(0.1, 1 + sign * (part * 0.9))
        bits, threshold = 4 - np.trunc(part * 4), 256 - np.trunc(part * 256)
    else:
        factor = part * 1.8 + 0.1
        bits, threshold = np.trunc(part * 4), np.trunc(part * 256)
    values = {
        Op.ROTATE: sign * (part * 30),
        Op.POSTERIZE: bits,
        Op.SOLARIZE: threshold,
        Op.SOLARIZE_ADD: np.trunc(part * 110),
        Op.COLOR: factor,
        Op.CONTRAST: factor,
        Op.BRIGHTNESS: factor,
        Op.SHARPNESS: factor + (factor - 1) * (scale**2 - 1),
        Op.SHEAR_X: sign * (part * 0.3),
        Op.SHEAR_Y: sign * (part * 0.3),
        Op.TRANSLATE_X: sign * (part * 0.45),
        Op.TRANSLATE_Y: sign * (part * 0.45),
    }
    return by_operation(op, values)
