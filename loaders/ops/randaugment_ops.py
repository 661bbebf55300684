"""The operations of RandAugment on uint8 batches, rounded as Pillow rounds them.

Eight of the fifteen map levels to levels, so they become one table of 256 per image and channel and are applied
together by one gather. The five that move pixels are one affine map each and share one `grid_sample`. Nothing
here waits for the device: which images an operation takes is known on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


class Op(IntEnum):
    """The operations, in timm's order."""

    AUTO_CONTRAST = 0
    EQUALIZE = 1
    INVERT = 2
    ROTATE = 3
    POSTERIZE = 4
    SOLARIZE = 5
    SOLARIZE_ADD = 6
    COLOR = 7
    CONTRAST = 8
    BRIGHTNESS = 9
    SHARPNESS = 10
    SHEAR_X = 11
    SHEAR_Y = 12
    TRANSLATE_X = 13
    TRANSLATE_Y = 14


MOVES = (Op.ROTATE, Op.SHEAR_X, Op.SHEAR_Y, Op.TRANSLATE_X, Op.TRANSLATE_Y)


def augment(
    images: Tensor, op: NDArray[np.int64], argument: NDArray[np.float64], fill: tuple[int, int, int]
) -> Tensor:
    """One operation on each image.

    Args:
        images: uint8 [N, 3, B, B].
        op: an `Op` per image, or -1 for none; on the host, as is `argument`.
        argument: degrees counter-clockwise (ROTATE); fraction of the side (SHEAR_*, TRANSLATE_*; content moves
            left or up where it is positive); bits kept, 0 to 8 (POSTERIZE); first level inverted, 0 to 256
            (SOLARIZE); levels added to those below 128 (SOLARIZE_ADD); factor, 0 or more, 1 for no change
            (COLOR, CONTRAST, BRIGHTNESS, SHARPNESS); ignored by the others.
        fill: red, green, blue of pixels from outside the image.

    Returns:
        A new uint8 [N, 3, B, B].
    """
    result = images.clone()
    groups: tuple[tuple[tuple[Op, ...], Callable[..., Tensor]], ...] = (
        (tuple(TABLES), look_up),
        ((Op.COLOR,), color),
        ((Op.SHARPNESS,), sharpness),
        (MOVES, partial(move, fill=fill)),
    )
    for kinds, apply in groups:
        rows = np.flatnonzero(np.isin(op, kinds))
        if len(rows):
            where = _put(rows, images)
            changed = apply(images.index_select(0, where), op[rows], argument[rows])
            result.index_copy_(0, where, changed)
    return result


def look_up(images: Tensor, op: NDArray[np.int64], argument: NDArray[np.float64]) -> Tensor:
    """Those operations that treat a pixel by its level alone: one table of levels per image and channel."""
    tables = images.new_empty(len(images), 3, 256)
    for kind in np.unique(op):
        rows = np.flatnonzero(op == kind)
        where = _put(rows, images)
        table = TABLES[Op(kind)](images.index_select(0, where), _column(argument[rows], images))
        tables.index_copy_(0, where, table.to(torch.uint8).expand(-1, 3, -1))
    return tables.gather(2, images.flatten(2).long()).view_as(images)


# Tables: from uint8 [n, 3, B, B] and float32 arguments [n, 1, 1] to integers from 0 to 255, [n, 1 or 3, 256].


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Levels stretched to 0 to 255, each channel by itself."""
    levels = images.flatten(2)
    low, high = levels.amin(2, keepdim=True).double(), levels.amax(2, keepdim=True).double()
    ramp = _ramp(images).double()
    scale = 255 / (high - low).clamp(min=1)
    # In double precision, the two products apart: Pillow truncates just this.
    stretched = (ramp * scale + -low * scale).clamp(0, 255)
    return torch.where(high > low, stretched, ramp)


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    """Levels about equally frequent, each channel by itself."""
    levels = images.flatten(2).long()
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    highest = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - highest) // 255
    spread = (step // 2 + counts.cumsum(2) - counts) // step.clamp(min=1)
    return torch.where(step > 0, spread.clamp(max=255), _ramp(images))


def _invert(images: Tensor, _: Tensor) -> Tensor:
    return (255 - _ramp(images)).expand(len(images), -1, -1)


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    dropped = 8 - bits.int()
    return _ramp(images) >> dropped << dropped


def _solarize(images: Tensor, threshold: Tensor) -> Tensor:
    ramp = _ramp(images)
    return torch.where(ramp < threshold, ramp, 255 - ramp)


def _solarize_add(images: Tensor, added: Tensor) -> Tensor:
    ramp = _ramp(images)
    return torch.where(ramp < 128, (ramp + added.int()).clamp(max=255), ramp)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (factor above 1) or towards the image's mean grey, which Pillow rounds to a level."""
    count = images[0, 0].numel()
    total = _grey(images).sum((2, 3), keepdim=True)[:, 0]
    mean = (2 * total + count) // (2 * count)
    return _blend(mean.float(), _ramp(images).float(), factor)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(torch.zeros_like(factor), _ramp(images).float(), factor)


TABLES: dict[Op, Callable[[Tensor, Tensor], Tensor]] = {
    Op.AUTO_CONTRAST: _auto_contrast,
    Op.EQUALIZE: _equalize,
    Op.INVERT: _invert,
    Op.POSTERIZE: _posterize,
    Op.SOLARIZE: _solarize,
    Op.SOLARIZE_ADD: _solarize_add,
    Op.CONTRAST: _contrast,
    Op.BRIGHTNESS: _brightness,
}


def color(images: Tensor, _: NDArray[np.int64], argument: NDArray[np.float64]) -> Tensor:
    """Away from (factor above 1) or towards the greyscale image."""
    return _blend(_grey(images).float(), images.float(), _column(argument, images)[..., None])


def sharpness(images: Tensor, _: NDArray[np.int64], argument: NDArray[np.float64]) -> Tensor:
    """Away from (factor above 1) or towards a blurred image: a pixel's weight is 5, its 8 neighbours' 1 each.

    The outermost pixels stay as they are, as Pillow's filters leave them.
    """
    levels = images.short()
    rows = levels[:, :, :-2] + levels[:, :, 1:-1] + levels[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner = images[:, :, 1:-1, 1:-1].float()
    blurred = ((total.float() + 4 * inner) / 13 + 0.5).floor()
    result = images.clone()
    result[:, :, 1:-1, 1:-1] = _blend(blurred, inner, _column(argument, images)[..., None])
    return result


def move(
    images: Tensor, op: NDArray[np.int64], argument: NDArray[np.float64], fill: tuple[int, int, int]
) -> Tensor:
    """Rotations, shears and translations, bicubic; `fill` where a pixel's centre comes from outside."""
    side = images.shape[-1]
    theta = _put(affine(op, argument).astype(np.float32), images)[..., None, None]
    across = (torch.arange(side, device=images.device) * 2 + 1) / side - 1
    # Not `affine_grid`: its matrix product may run at reduced precision, which is pixels here.
    grid = theta[:, :, 0] * across + theta[:, :, 1] * across[:, None] + theta[:, :, 2]
    moved = F.grid_sample(images.float(), grid.permute(0, 2, 3, 1), "bicubic", "border", align_corners=False)
    inside = (grid.abs() < 1).all(1, keepdim=True)
    colour = _put(np.array(fill, np.float32), images)[:, None, None]
    # Pillow truncates; what is a whole level but for float32's rounding must stay that level.
    return torch.where(inside, (moved + 1 / 64).clamp(0, 255), colour).to(torch.uint8)


def affine(op: NDArray[np.int64], argument: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 2, 3] maps from places (x, y, 1) in the result to places (x, y) in the source.

    Both run from -1 to 1 between the image's outer edges, so that no number here depends on the bandwidth.
    """
    theta = np.tile(np.eye(2, 3), (len(op), 1, 1))
    angle = np.radians(np.where(op == Op.ROTATE, argument, 0))
    theta[:, 0, 0] = theta[:, 1, 1] = np.cos(angle)
    theta[:, 0, 1], theta[:, 1, 0] = -np.sin(angle), np.sin(angle)
    for kind, axis in ((Op.SHEAR_X, 0), (Op.SHEAR_Y, 1)):  # about the upper left corner, (-1, -1)
        rows = op == kind
        theta[rows, axis, 1 - axis] = theta[rows, axis, 2] = argument[rows]
    for kind, axis in ((Op.TRANSLATE_X, 0), (Op.TRANSLATE_Y, 1)):
        rows = op == kind
        theta[rows, axis, 2] = 2 * argument[rows]  # the side is 2 long
    return theta


def _blend(degenerate: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """uint8 of `degenerate` (factor 0) to `images` (1) and beyond, in the order and precision of Pillow's blend."""
    return (degenerate + factor * (images - degenerate)).clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """int32 [n, 1, B, B], luma of ITU-R 601 in Pillow's fixed-point arithmetic."""
    red, green, blue = images.int().split(1, dim=1)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _ramp(images: Tensor) -> Tensor:
    """int32 [1, 1, 256]: 0 to 255, the table that changes nothing."""
    return torch.arange(256, dtype=torch.int32, device=images.device)[None, None]


def _column(argument: NDArray[np.float64], images: Tensor) -> Tensor:
    """float32 [n, 1, 1] on the device of `images`; Pillow takes single precision, too."""
    return _put(argument.astype(np.float32), images)[:, None, None]


def _put(array: NDArray[np.generic], images: Tensor) -> Tensor:
    """`array` on the device of `images`, without waiting for it."""
    return torch.from_numpy(array).to(images.device, non_blocking=True)
