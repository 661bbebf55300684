"""TrivialAugment of whole batches: one operation on each image, at a random strength from its whole range.

Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" (arXiv 2103.10158), in the
"wide" space of `torchvision.transforms.TrivialAugmentWide`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch import Batch
from ..plan.rng import Purpose, below, words
from .keyed import KeyedTransform
from .randaugment import perform
from .randaugment_ops import Op, by_operation, moves

OPERATIONS = (
    None,
    Op.SHEAR_X,
    Op.SHEAR_Y,
    Op.TRANSLATE_X,
    Op.TRANSLATE_Y,
    Op.ROTATE,
    Op.BRIGHTNESS,
    Op.COLOR,
    Op.CONTRAST,
    Op.SHARPNESS,
    Op.POSTERIZE,
    Op.SOLARIZE,
    Op.AUTO_CONTRAST,
    Op.EQUALIZE,
)
"""The operations in torchvision's order, to which the draws refer; None leaves the image unchanged."""


class TrivialAugmentWide(KeyedTransform):
    """Augments every image of a batch by one operation, each of 14 equally likely, at a random strength.

    The change of a sample depends only on (seed, epoch, draw key). Pixels equal those of
    `torchvision.transforms.TrivialAugmentWide(interpolation=BICUBIC)` on Pillow images, except for rotations, shears
    and translations, which differ by 1 level at most. torchvision's own default is nearest neighbour, which this class
    does not offer. Translations are up to 32 pixels at every resolution, as in torchvision.

    Args:
        num_magnitude_bins: number of strengths of each operation, 2 or more.
        fill: red, green and blue levels, 0 to 255, of pixels that move in from outside.
    """

    def __init__(self, num_magnitude_bins: int = 31, *, fill: tuple[int, int, int] = (0, 0, 0)) -> None:
        super().__init__()
        if num_magnitude_bins < 2:
            raise ValueError(f"`num_magnitude_bins` must be 2 or more, got {num_magnitude_bins}.")
        self.num_magnitude_bins, self.fill = num_magnitude_bins, fill

    def extra_repr(self) -> str:
        return f"num_magnitude_bins={self.num_magnitude_bins}, fill={self.fill}"

    def augment(self, images: torch.Tensor, keys: NDArray[np.int64], *, seed: int, epoch: int) -> torch.Tensor:
        """See `KeyedTransform`."""
        op, argument = self.plan(keys, images.shape[-1], seed=seed, epoch=epoch)
        return perform(images, op[:, None], argument[:, None], self.fill)

    def moves(self, batch: Batch, side: int) -> NDArray[np.float64]:
        """How `forward` moves the pixels of this batch, see `randaugment_ops.moves`."""
        op, argument = self.plan(batch.keys, side, seed=batch.seed, epoch=batch.epoch)
        return moves(op[:, None], argument[:, None], side)

    def plan(
        self, keys: NDArray[np.int64], side: int, *, seed: int, epoch: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The change that `forward` makes to each sample: the `Op` (-1 for none) and its argument, two arrays [n].

        Args:
            keys: draw keys, [n].
            side: B, pixels.
            seed: 0 to 2**64 - 1.
            epoch: 0 to 2**32 - 1.
        """
        drawn = words(seed, epoch, keys, Purpose.TRIVIAL_AUGMENT, 3)
        kinds = np.array([-1 if kind is None else kind for kind in OPERATIONS])
        op = kinds[below(drawn[:, 0], len(kinds))]
        strength, sign = below(drawn[:, 1], self.num_magnitude_bins), np.where(below(drawn[:, 2], 2), -1.0, 1.0)
        return op, arguments(op, strength, sign, side, self.num_magnitude_bins)


def arguments(
    op: NDArray[np.int64], strength: NDArray[np.int64], sign: NDArray[np.float64], side: int, bins: int = 31
) -> NDArray[np.float64]:
    """Strengths in the units of `randaugment_ops.augment`, from torchvision's table.

    Args:
        op: `Op`s; anything else gets 0.
        strength: number of the bin, 0 to `bins` - 1, same shape.
        sign: 1 or -1, same shape: the direction, for operations that have two.
        side: B, pixels.
        bins: number of strengths of each operation.
    """
    signed = sign * _steps(0, 0.99, bins)[strength]
    pixels = sign * np.trunc(_steps(0, 32, bins)[strength])
    values = {
        Op.SHEAR_X: signed,
        Op.SHEAR_Y: signed,
        Op.TRANSLATE_X: -pixels / side,  # torchvision's positive is to the right
        Op.TRANSLATE_Y: -pixels / side,
        Op.ROTATE: sign * _steps(0, 135, bins)[strength],
        **dict.fromkeys((Op.BRIGHTNESS, Op.COLOR, Op.CONTRAST, Op.SHARPNESS), 1 + signed),
        Op.POSTERIZE: 8 - np.rint(strength / ((bins - 1) / 6)),
        Op.SOLARIZE: _steps(255, 0, bins)[strength],
    }
    return by_operation(op, values)


def _steps(first: float, last: float, count: int) -> NDArray[np.float64]:
    """`torch.linspace` with its rounding, which determines whether a translation is by 15 or 16 pixels.

    Single precision, from either end to the middle, each product and sum rounded once.
    """
    step = (np.float32(last) - np.float32(first)) / np.float32(count - 1)
    place = np.arange(count)
    from_first = first + float(step) * place
    from_last = float(np.float32(last)) - float(step) * (count - 1 - place)
    return np.where(place < count // 2, from_first, from_last).astype(np.float32).astype(np.float64)
