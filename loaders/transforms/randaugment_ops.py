"""The operations of RandAugment on uint8 batches, rounded as Pillow rounds them.

Eight of the fifteen map levels to levels: one table of 256 per image and channel, all applied by one gather.
Shears and translations move each row, or each column, along itself, so four taps a pixel do, with Pillow's
weights; rotations share two `grid_sample`s. Nothing here waits for the device: which images an operation takes is
known on the host.
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

from .device import portions, put

Ops = NDArray[np.int64]
Arguments = NDArray[np.float64]
Colour = tuple[int, int, int]


class Op(IntEnum):
    """The operations, those done together side by side. The numbers decide who draws what: they stay."""

    AUTO_CONTRAST = 0
    EQUALIZE = 1
    INVERT = 2
    POSTERIZE = 3
    SOLARIZE = 4
    SOLARIZE_ADD = 5
    CONTRAST = 6
    BRIGHTNESS = 7
    COLOR = 8
    SHARPNESS = 9
    ROTATE = 10
    SHEAR_X = 11
    TRANSLATE_X = 12
    SHEAR_Y = 13
    TRANSLATE_Y = 14


STARTS = (0, Op.COLOR, Op.SHARPNESS, Op.ROTATE, Op.SHEAR_X, Op.SHEAR_Y, len(Op))  # of the groups in `augment`


def augment(images: Tensor, op: Ops, argument: Arguments, fill: Colour) -> Tensor:
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
    moves = (partial(rotate, fill=fill), partial(slide_rows, fill=fill), partial(slide_columns, fill=fill))
    groups: tuple[Callable[[Tensor, Ops, Arguments], Tensor], ...] = (look_up, color, sharpness, *moves)
    # Sorted by operation, each group is a slice, and putting everything back is one more copy.
    order = np.argsort(op, kind="stable")
    op, argument, rows = op[order], argument[order], put(order, images.device)
    bounds = np.searchsorted(op, STARTS)
    done = [images.index_select(0, rows[: bounds[0]])]
    for apply, start, stop in zip(groups, bounds[:-1], bounds[1:], strict=True):
        if start < stop:
            for part in portions(images, start, stop):
                done.append(apply(images.index_select(0, rows[part]), op[part], argument[part]))
    return torch.cat(done).index_select(0, put(np.argsort(order), images.device))


def look_up(images: Tensor, op: Ops, argument: Arguments) -> Tensor:
    """Those operations that treat a pixel by its level alone: one table of levels per image and channel."""
    tables = []
    for kind in np.unique(op):  # in order, as `op` is
        start, stop = np.searchsorted(op, (kind, kind + 1))
        table = TABLES[Op(kind)](images[start:stop], _column(argument[start:stop], images))
        tables.append(table.to(torch.uint8).expand(stop - start, 3, -1))
    return torch.cat(tables).gather(2, images.flatten(2).long()).view_as(images)


# Tables: from uint8 [n, 3, B, B] and float32 arguments [n, 1, 1] to integers from 0 to 255, [n, 1 or 3, 256].


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Levels stretched to 0 to 255, each channel by itself."""
    levels = images.flatten(2)
    low, high = levels.amin(2, keepdim=True).double(), levels.amax(2, keepdim=True).double()
    ramp = _ramp(images).double()
    scale = torch.full_like(high, 255) / (high - low).clamp(min=1)  # `255 / x` would be 255 times 1 / x
    # In double precision, the two products apart: Pillow truncates just this.
    stretched = (ramp * scale + -low * scale).clamp(0, 255)
    return torch.where(high > low, stretched, ramp)


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    """Levels about equally frequent, each channel by itself."""
    levels = images.flatten(2).long()
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, levels, counts.new_ones(1).expand_as(levels))
    highest = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - highest) // 255
    spread = (step // 2 + counts.cumsum(2) - counts) // step.clamp(min=1)
    return torch.where(step > 0, spread.clamp(max=255), _ramp(images))


def _invert(images: Tensor, _: Tensor) -> Tensor:
    return 255 - _ramp(images)


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


def color(images: Tensor, _: Ops, argument: Arguments) -> Tensor:
    """Away from (factor above 1) or towards the greyscale image."""
    return _blend(_grey(images).float(), images.float(), _column(argument, images)[..., None])


def sharpness(images: Tensor, _: Ops, argument: Arguments) -> Tensor:
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


def rotate(images: Tensor, _: Ops, argument: Arguments, fill: Colour) -> Tensor:
    """Rotations about the centre, bicubic."""
    # Note [another kernel]: `grid_sample` has Keys's cubic kernel with a = -0.75, Pillow with a = -1. Along an axis the
    # kernel is P + a Q, where P, what is left for a = 0, is linear interpolation at a smoothed place. So the step from
    # P to the kernel at -0.75 is made a third longer; what that neglects is Q along both axes at once, which is small.
    side = images.shape[-1]
    angle = np.radians(argument)
    cos, sin = put(np.stack((np.cos(angle), np.sin(angle))).astype(np.float32), images.device)[..., None, None]
    # -1 and 1 are the outer edges. Not `affine_grid`: its matrix product may run at reduced precision.
    across = _centres(images) * 2 / side - 1
    down = across[:, None]
    x, y = cos * across - sin * down, sin * across + cos * down
    grid = torch.view_as_real(torch.complex(x, y))  # what `torch.stack` makes, but not number by number
    place = grid * (side / 2) + (side / 2 - 0.5)
    whole = place.floor()
    part = place - whole
    smooth = (whole + part * part * (3 - 2 * part) + 0.5) * (2 / side) - 1
    levels = images.float()
    linear = F.grid_sample(levels, smooth, "bilinear", "border", align_corners=False)
    cubic = F.grid_sample(levels, grid, "bicubic", "border", align_corners=False)
    return _framed(cubic.lerp_(linear, -1 / 3), (x.abs() < 1) & (y.abs() < 1), fill)


def slide_rows(images: Tensor, op: Ops, argument: Arguments, fill: Colour) -> Tensor:
    """Shears and translations, bicubic: each row by a distance of its own."""
    side = images.shape[-1]
    shears = np.isin(op, (Op.SHEAR_X, Op.SHEAR_Y))
    slope_offset = np.stack((argument * shears, argument * ~shears * side)).astype(np.float32)
    slope, offset = put(slope_offset, images.device)[..., None]
    centres = _centres(images)
    distance = slope * centres + offset  # [n, B] pixels
    whole = distance.floor()
    part = distance - whole
    place = torch.arange(-1, side + 2, device=images.device) + whole.long()[..., None]
    taps = images.gather(3, place.clamp_(0, side - 1)[:, None].expand(-1, 3, -1, -1)).float()
    moved = torch.zeros(images.shape, device=images.device)
    # Keys's cubic kernel with a = -1, Pillow's for moving (it resizes with -0.5).
    weights = (
        -part * (1 - part) ** 2,
        1 - part * part * (2 - part),
        part * (1 + part - part * part),
        -part * part * (1 - part),
    )
    for tap, weight in enumerate(weights):
        moved.addcmul_(weight[:, None, :, None], taps[..., tap : tap + side])
    source = centres + distance[..., None]
    return _framed(moved, (source >= 0) & (source < side), fill)


def slide_columns(images: Tensor, op: Ops, argument: Arguments, fill: Colour) -> Tensor:
    """`slide_rows` along the other axis."""
    return slide_rows(images.mT.contiguous(), op, argument, fill).mT


def _centres(images: Tensor) -> Tensor:
    """float32 [B]: where pixels' centres lie, 0.5, 1.5, ..."""
    return torch.arange(images.shape[-1], device=images.device) + 0.5


def _framed(levels: Tensor, inside: Tensor, fill: Colour) -> Tensor:
    """uint8 of float `levels` (overwritten) where `inside`, [n, B, B], and `fill` where not."""
    # Pillow truncates, in double precision: what is a whole level but for float32's error must stay that level.
    colour = put(np.array(fill, np.uint8), levels.device)[:, None, None]
    mask = -inside[:, None].view(torch.uint8)  # 255 or 0: `torch.where` goes byte by byte
    return _truncate(levels.add_(1 / 128)).bitwise_xor_(colour).bitwise_and_(mask).bitwise_xor_(colour)


def _blend(degenerate: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """uint8 of `degenerate` (factor 0) to `images` (1) and beyond, in the order and precision of Pillow's blend."""
    return _truncate(degenerate + factor * (images - degenerate))


def _truncate(levels: Tensor) -> Tensor:
    """uint8 of float `levels`, which are overwritten. By way of int16: torch's direct conversion is not vectorised."""
    return levels.clamp_(0, 255).short().to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """int32 [n, 1, B, B], luma of ITU-R 601 in Pillow's fixed-point arithmetic."""
    red, green, blue = images.int().split(1, dim=1)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _ramp(images: Tensor) -> Tensor:
    """int32 [1, 1, 256]: 0 to 255, the table that changes nothing."""
    return torch.arange(256, dtype=torch.int32, device=images.device)[None, None]


def _column(argument: NDArray[np.float64], images: Tensor) -> Tensor:
    """float32 [n, 1, 1] on the device of `images`; Pillow takes single precision, too."""
    return put(argument.astype(np.float32), images.device)[:, None, None]
