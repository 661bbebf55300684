"""Random changes of colour, as torchvision applies them to Pillow images: `ColorJitter` and `RandomGrayscale`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..plan.rng import Purpose, below, uniform, words
from .device import portions, put
from .keyed import KeyedTransform
from .randaugment import perform
from .randaugment_ops import Op

Range = tuple[float, float]

_HUE = 3
_OPS = np.array([Op.BRIGHTNESS, Op.CONTRAST, Op.COLOR, -1])
_ORDERS = np.array(list(permutations(range(4))))


class ColorJitter(KeyedTransform):
    """Changes brightness, contrast, saturation and hue of each image, in a random order per image.

    The change of a sample depends only on (seed, epoch, draw key). Pixels equal those of
    `torchvision.transforms.ColorJitter` on Pillow images.

    Args:
        brightness, contrast, saturation: x: factors are uniform from max(0, 1 - x) to 1 + x; or the range as two
            numbers, 0 or more.
        hue: x, 0 to 0.5: shifts are uniform from -x to x, as a fraction of the colour circle; or the range as two
            numbers from -0.5 to 0.5.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0.0,
        contrast: float | Sequence[float] = 0.0,
        saturation: float | Sequence[float] = 0.0,
        hue: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        self.brightness = _range("brightness", brightness, 1, 0.0, np.inf)
        self.contrast = _range("contrast", contrast, 1, 0.0, np.inf)
        self.saturation = _range("saturation", saturation, 1, 0.0, np.inf)
        self.hue = _range("hue", hue, 0, -0.5, 0.5)

    def extra_repr(self) -> str:
        names = ("brightness", "contrast", "saturation", "hue")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    def augment(self, images: torch.Tensor, keys: NDArray[np.int64], *, seed: int, epoch: int) -> torch.Tensor:
        """See `KeyedTransform`."""
        order, factors = self.plan(keys, seed=seed, epoch=epoch)
        in_order = np.take_along_axis(factors, order, 1)
        ranges = (self.brightness, self.contrast, self.saturation)
        changes = np.array([*(still != (1, 1) for still in ranges), False])
        ops = np.where(changes, _OPS, -1)[order]
        if not any(self.hue):
            return perform(images, ops, in_order)
        for step in range(4):
            images = perform(images, ops[:, step : step + 1], in_order[:, step : step + 1])
            turned = np.flatnonzero(order[:, step] == _HUE)
            rows = put(turned, images.device)
            images.index_copy_(0, rows, shift_hue(images.index_select(0, rows), factors[turned, _HUE]))
        return images

    def plan(self, keys: NDArray[np.int64], *, seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The changes that `forward` makes to each sample.

        Returns:
            Two arrays [n, 4]: which change comes first, second, ... (0 brightness, 1 contrast, 2 saturation, 3 hue);
            and the factors, or for hue the shift, in the order of these numbers.
        """
        drawn = words(seed, epoch, keys, Purpose.COLOR_JITTER, 5)
        low, high = np.array([self.brightness, self.contrast, self.saturation, self.hue]).T
        return _ORDERS[below(drawn[:, 4], len(_ORDERS))], low + (high - low) * uniform(drawn[:, :4])


class RandomGrayscale(KeyedTransform):
    """Makes some images of a batch grey: three equal channels.

    The choice depends only on (seed, epoch, draw key). Pixels equal those of
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


def shift_hue(images: Tensor, shift: NDArray[np.float64]) -> Tensor:
    """Shifts the hue of each image, in Pillow's 8-bit HSV.

    Args:
        images: uint8 [n, 3, B, B].
        shift: fraction of the colour circle, -0.5 to 0.5, [n].

    Returns:
        A new uint8 [n, 3, B, B].
    """
    steps = put((shift * 255).astype(np.int32), images.device)[:, None, None]
    return torch.cat([_turn(images[part], steps[part]) for part in portions(images)])


def _turn(images: Tensor, steps: Tensor) -> Tensor:
    """`shift_hue` by int32 steps [n, 1, 1] of 1/256 of the circle."""
    red, green, blue = images.int().unbind(1)
    value, least = images.amax(1).int(), images.amin(1).int()
    spread = value - least
    # As in Pillow: quotients in single precision, sums in double precision, levels truncated.
    divisor = spread.clamp(min=1).float()
    r, g, b = (((value - channel).float() / divisor).double() for channel in (red, green, blue))
    hue = torch.where(red == value, b - g, torch.where(green == value, 2 + r - b, 4 + g - r)).float().double()
    hue = (torch.fmod(hue / 6 + 1, 1).float().double() * 255).int()
    saturation = ((spread.float() / value.clamp(min=1).float()).double() * 255).int()
    hue = torch.where(spread == 0, 0, hue) + steps & 255

    sector = hue.double() * 6 / 255
    whole = sector.floor()
    part = (sector - whole).float().double()
    pale = (saturation.double() / 255).float().double()
    level = value.double()
    p, q, t = (_nearest(level * (1 - pale * share)) for share in (torch.ones_like(part), part, 1 - part))
    which = whole.long() % 6
    table = torch.stack((value, q, p, t), 1)
    return torch.stack([table.gather(1, place[which][:, None])[:, 0] for place in _places(images.device)], 1).to(
        torch.uint8
    )


def _places(device: torch.device) -> Tensor:
    """[3, 6]: which of (value, q, p, t) is red, green and blue in each sixth of the circle."""
    v, q, p, t = range(4)
    return torch.tensor([[v, q, p, p, t, v], [t, v, v, q, p, p], [p, p, t, v, v, q]], device=device)


def _nearest(levels: Tensor) -> Tensor:
    """Rounded, halves up; in single precision first, as Pillow keeps them."""
    return (levels + 0.5).floor().int().clamp_(0, 255)


def _range(name: str, given: float | Sequence[float], centre: float, least: float, most: float) -> Range:
    """The range given by a number, around `centre`, or by a pair of numbers."""
    if isinstance(given, int | float):
        low, high = centre - float(given), centre + float(given)
        if centre and given >= 0:
            low = max(low, 0.0)
    else:
        low, high = (float(value) for value in given)
    if not least <= low <= high <= most or high == np.inf:
        rule = f"a range within {least} to {most}" if most < np.inf else "a range of finite numbers, 0 or more"
        raise ValueError(f"`{name}` must give {rule}, in rising order, got {given}.")
    return low, high
