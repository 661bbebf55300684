"""Random erasing of whole batches, in timm's modes: rectangles of noise, of one colour, or of 0 in some of the images.

Zhong, Zheng, Kang, Li and Yang, "Random erasing data augmentation" (arXiv 1708.04896), in the variant of
timm.data.random_erasing, which the EfficientTrain++ recipes use.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..batch import Batch
from ..native import Augment
from ..plan.records import ERASURE
from ..plan.rng import Purpose, below, between, uniform, words
from . import fused
from .device import CACHED, bits, drawn_by, put
from .keyed_noise import normal, quantiles

Integers = NDArray[np.int64]
MODES = ("pixel", "rand", "const")
MOST = 100
"""Rectangles of an image."""
_ATTEMPTS = 10
_WORDS = 4  # per attempt: area, aspect, top, left


class RandomErasing(nn.Module):
    """Fills one or more rectangles in some of the images.

    The treatment of a sample, including the noise, depends on (seed, epoch, draw key) only: not on its
    batch, the device or torch's random state. Rectangles have timm's distribution: area and logarithm of the aspect
    ratio are uniform; if the rectangle does not fit, it is drawn again, at most ten times.

    Args:
        probability: of erasing, for each image, 0 to 1.
        area: least and greatest share of the image.
        aspect: least and greatest height / width.
        mode: contents of a rectangle: "pixel", separate normal noise for every pixel and channel; "rand", one
            colour of normal noise; "const", 0.
        count: largest number of rectangles in an image, 1 to `MOST`; their number is uniform, and they share `area`.
    """

    def __init__(
        self,
        probability: float = 0.25,
        area: tuple[float, float] = (0.02, 1 / 3),
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
        mode: str = "pixel",
        count: int = 1,
    ) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"`probability` must be from 0 to 1, got {probability}; the recipes use 0.25.")
        if not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f"`area` must be two shares of the image, from above 0 to 1 and rising, got {area}.")
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"`aspect` must be two ratios above 0 and rising, got {aspect}.")
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {', '.join(MODES)}, got {mode!r}.")
        if not 1 <= count <= MOST:
            raise ValueError(f"`count` must be from 1 to {MOST}, got {count}; `probability=0` turns erasing off.")
        self.mode = mode
        self.count = count
        self.probability = probability
        self.area = area
        self.aspect = aspect

    def extra_repr(self) -> str:
        return (
            f"probability={self.probability}, area={self.area}, aspect={self.aspect}, mode={self.mode!r}, "
            f"count={self.count}"
        )

    def forward(
        self,
        images: Tensor,
        batch: Batch | NDArray[np.int64],
        *,
        seed: int | None = None,
        epoch: int | None = None,
    ) -> Tensor:
        """Erases in place, as timm does, and returns `images`.

        Args:
            images: floating-point [N, C, H, W], normalised to mean 0 and variance 1, on any device.
            batch: the loader's `Batch`; or the images' draw keys, [N], on the host (so that nothing waits for the
                device), together with `seed` and `epoch`.
            seed: 0 to 2**64 - 1; None: the batch's.
            epoch: 0 to 2**32 - 1; None: the batch's.

        Raises:
            ValueError: for another shape or dtype, or another number of keys than of images.
        """
        keys, seed, epoch = drawn_by(batch, seed, epoch)
        _check(images, keys)
        for number in range(self.count):  # in order: where two overlap, the later one is visible
            drawn = self.draw(keys, *images.shape[-2:], seed=seed, epoch=epoch, number=number)
            if self.mode == "pixel" and fused.usable(images):
                fused.erase(images, *drawn)
            else:
                self._erase(images, *drawn)
        return images

    def _erase(self, images: Tensor, row: Integers, box: Integers, key: Integers) -> None:
        which = np.repeat(np.arange(len(row)), box[:, 2])  # from here on an entry is one line of one box
        line = np.arange(len(which)) - (np.cumsum(box[:, 2]) - box[:, 2])[which]
        top, left, _, width = box[which].T
        pixels = np.cumsum(width)
        step = CACHED // 8 if images.device.type == "cpu" else max(1, images.numel())
        for part in np.split(np.arange(len(which)), np.flatnonzero(np.diff(pixels // step)) + 1):
            some = which[part]
            _fill(images, row[some], (top + line)[part], left[part], width[part], key[some], self.mode)

    def draw(
        self, keys: NDArray[np.int64], high: int, wide: int, *, seed: int, epoch: int, number: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The images that get a rectangle `number` (from 0), and its position.

        Returns:
            Rows of `keys` [m], ascending; top, left, height, width in pixels [m, 4]; keys of the noise [m].
        """
        fires = uniform(words(seed, epoch, keys, Purpose.ERASE, 1)[:, 0]) < self.probability
        row = np.flatnonzero(fires)
        drawn = words(seed, epoch, keys[row], Purpose.ERASE, 4 + (number + 1) * _WORDS * _ATTEMPTS)
        boxes = 1 + below(drawn[:, 3], self.count)
        row, drawn, boxes = row[boxes > number], drawn[boxes > number], boxes[boxes > number]
        tries = drawn[:, -_WORDS * _ATTEMPTS :].reshape(len(row), _ATTEMPTS, _WORDS)
        area = high * wide * between(*self.area, tries[..., 0]) / boxes[:, None]
        least, most = np.log(self.aspect)
        aspect = np.exp(between(least, most, tries[..., 1]))
        height = np.rint(np.sqrt(area * aspect)).astype(np.int64)
        width = np.rint(np.sqrt(area / aspect)).astype(np.int64)
        fits = (height < high) & (width < wide)
        top = below(tries[..., 2], np.maximum(high - height, 0) + 1)
        left = below(tries[..., 3], np.maximum(wide - width, 0) + 1)
        box = np.stack((top, left, height, width), -1)[np.arange(len(row)), fits.argmax(1)]
        key = np.ascontiguousarray(drawn[:, 1:3]).view(np.int64)[:, 0] ^ number
        found = fits.any(1)
        return row[found], box[found], key[found]

    def for_kernel(self, keys: NDArray[np.int64], side: int, dtype: torch.dtype, *, seed: int, epoch: int) -> Augment:
        """`draw` for images of `side` x `side` in the form of the C++ kernel, which gives the values of `forward`.

        Raises:
            ValueError: `dtype` (of the batch) is not floating-point; or `mode` or `count` is not the default.
        """
        if self.mode != "pixel" or self.count != 1:
            raise ValueError(
                f'`mode` must be "pixel" and `count` 1 in the kernel, got {self.mode!r} and {self.count}; '
                "call the module."
            )
        if not dtype.is_floating_point:
            raise ValueError(f"`dtype` must be floating-point for erasing, got {dtype}.")
        row, box, key = self.draw(keys, side, side, seed=seed, epoch=epoch)
        erasures = np.zeros(len(keys), ERASURE)
        for name, column in zip(("top", "left", "height", "width"), box.T, strict=True):
            erasures[name][row] = column
        erasures["key"][row] = key
        return Augment(erasures=erasures, noise=_noise(dtype))


def _fill(
    images: Tensor, image: Integers, row: Integers, column: Integers, width: Integers, key: Integers, mode: str
) -> None:
    """Fills lines of `width` pixels, starting at [image, :, row, column]; the host does not wait for the device."""
    steps = images.stride()
    before = np.cumsum(width) - width
    place = image * steps[0] + row * steps[2] + (column - before) * steps[3]
    position = row * images.shape[3] + column - before
    total, device = int(width.sum()), images.device
    table = put(np.column_stack((place, position, key)), device)
    each = table.repeat_interleave(put(width, device), dim=0, output_size=total)
    ramp = torch.arange(total, device=device)
    place_, position_, key_ = each.unbind(1)
    channels = torch.arange(images.shape[1], device=device) * steps[1]
    if mode == "const":
        noise = torch.zeros((total, images.shape[1]), dtype=images.dtype, device=device)
    else:
        place_of_noise = position_ + ramp if mode == "pixel" else torch.zeros_like(ramp)
        noise = normal(key_, place_of_noise, images.shape[1]).to(images.dtype)
    reach = sum((size - 1) * step for size, step in zip(images.shape, steps, strict=True))
    memory = images.as_strided((1 + reach,), (1,))
    memory.scatter_(0, ((place_ + ramp * steps[3])[:, None] + channels).flatten(), noise.flatten())


@lru_cache(maxsize=4)
def _noise(dtype: torch.dtype) -> NDArray[Any]:
    """[65536], the values of `normal` in `dtype`, as integers of its size."""
    return bits(torch.from_numpy(quantiles().astype(np.float32)).to(dtype))


def _check(images: Tensor, keys: NDArray[np.int64]) -> None:
    if not images.is_floating_point():
        raise ValueError(f"`images` must be floating-point, got {images.dtype}; erase after normalising.")
    if images.ndim != 4:
        raise ValueError(f"`images` must be [N, C, H, W], got {list(images.shape)}.")
    if np.shape(keys) != (len(images),):
        raise ValueError(f"`batch` must have a draw key for each image, [{len(images)}], got {list(np.shape(keys))}.")
