"""The operations of RandAugment on uint8 batches, rounded as Pillow rounds them.

Eight of the fifteen map levels to levels: one table of 256 per image and channel, all applied by one gather.
Shears and translations move each row, or each column, along itself, so four taps per pixel suffice, with Pillow's
weights; rotations need four rows of four taps. The host never waits for the device, because it knows the images of
each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..plan.records import OPERATION
from .device import constant, portions, put

Ops = NDArray[np.int64]
Arguments = NDArray[np.float64]
Colour = tuple[int, int, int]


class Op(IntEnum):
    """The operations; those done together are adjacent. The numbers key the random draws and must not change."""

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
    """Applies one operation to each image.

    Args:
        images: uint8 [N, 3, B, B].
        op: an `Op` per image, or -1 for none; on the host, like `argument`.
        argument: degrees counter-clockwise (ROTATE); fraction of the side (SHEAR_*, TRANSLATE_*; content moves
            left or up if it is positive); bits kept, 0 to 8 (POSTERIZE); first level inverted, 0 to 256
            (SOLARIZE); levels added to those below 128 (SOLARIZE_ADD); factor, 0 or more, 1 for no change
            (COLOR, CONTRAST, BRIGHTNESS, SHARPNESS); ignored by the others.
        fill: red, green, blue of pixels from outside the image.

    Returns:
        A new uint8 [N, 3, B, B].
    """
    moves = (partial(rotate, fill=fill), partial(slide_rows, fill=fill), partial(slide_columns, fill=fill))
    groups: tuple[Callable[[Tensor, Ops, Arguments], Tensor], ...] = (look_up, color, sharpness, *moves)
    # Sorted by operation, each group is a slice; restoring the order takes one more copy.
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
    """Applies the operations that depend only on a pixel's level: one table of levels per image and channel."""
    tables = []
    for kind in np.unique(op):  # in order, as `op` is
        start, stop = np.searchsorted(op, (kind, kind + 1))
        table = TABLES[Op(kind)](images[start:stop], _column(argument[start:stop], images))
        tables.append(table.to(torch.uint8).expand(stop - start, 3, -1))
    return torch.cat(tables).gather(2, images.flatten(2).long()).view_as(images)


# Tables: from uint8 [n, 3, B, B] and float32 arguments [n, 1, 1] to integers from 0 to 255, [n, 1 or 3, 256].


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretches levels to 0 to 255, in each channel separately."""
    levels = images.flatten(2)
    low, high = levels.amin(2, keepdim=True).double(), levels.amax(2, keepdim=True).double()
    ramp = _ramp(images).double()
    scale = torch.full_like(high, 255) / (high - low).clamp(min=1)  # `255 / x` would be 255 times 1 / x
    # In double precision, with two separate products: Pillow truncates exactly this value.
    stretched = (ramp * scale + -low * scale).clamp(0, 255)
    return torch.where(high > low, stretched, ramp)


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    """Makes levels about equally frequent, in each channel separately."""
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
    """Moves levels away from (factor above 1) or towards the image's mean grey, which Pillow rounds to a level."""
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
    """Moves levels away from (factor above 1) or towards the greyscale image."""
    return _blend(_grey(images).float(), images.float(), _column(argument, images)[..., None])


def sharpness(images: Tensor, _: Ops, argument: Arguments) -> Tensor:
    """Moves levels away from (factor above 1) or towards a blurred image: a pixel has weight 5, its 8 neighbours 1.

    The outermost pixels are unchanged, as in Pillow's filters.
    """
    levels = images.short()
    rows = levels[:, :, :-2] + levels[:, :, 1:-1] + levels[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner = images[:, :, 1:-1, 1:-1].float()
    blurred = ((total.float() + 4 * inner) / 13 + 0.5).floor()
    result = images.clone()
    result[:, :, 1:-1, 1:-1] = _blend(blurred, inner, _column(argument, images)[..., None])
    return result


def rotate(images: Tensor, op: Ops, argument: Arguments, fill: Colour) -> Tensor:
    """Rotations about the centre, bicubic: four rows of four taps a pixel."""
    side, device = images.shape[-1], images.device
    x, x_right, x_down, y, y_right, y_down = put(motion(op, argument, side).T[..., None, None], device)
    right = torch.arange(side, device=device) - side // 2
    down = right[:, None]
    x = x + x_right * right + x_down * down  # [n, B, B] from here on
    y = y + y_right * right + y_down * down
    (column, across), (row, along) = _taps(x, device), _taps(y, device)
    across, along = ((part * WEIGHT_ONE).int().movedim(3, 0).contiguous()[:, :, None] for part in (across, along))
    words, columns = _four_pixels(images).flatten(2), (column + 1).clamp_(0, side)
    shifts = torch.arange(0, 32, 8, dtype=torch.int32, device=device).view(4, 1, 1, 1, 1)
    total = torch.full(images.shape, 1 << 13, dtype=torch.int32, device=device)
    for tap in range(4):
        place = (row + (tap - 1)).clamp_(0, side - 1) * (side + 1) + columns
        taps = words.gather(2, place.flatten(1)[:, None].expand(-1, 3, -1)).view(images.shape) >> shifts & 255
        sums = taps.mul_(across).sum(0, dtype=torch.int32) + 128 >> 8
        total.addcmul_(sums, along[tap])
    levels = (total >> 20).clamp_(0, 255).to(torch.uint8)
    return _framed(levels, _within(x, side) & _within(y, side), fill)


def _four_pixels(images: Tensor) -> Tensor:
    """int32 [n, 3, B, B + 1]: each word holds four neighbouring pixels of a row, so that one look-up gets all taps.

    Word i holds columns i - 2 to i + 1, the first in the lowest byte; beyond the edges the outermost pixel is repeated.
    """
    side = images.shape[-1]
    columns = torch.arange(-2, side + 2, device=images.device).clamp_(0, side - 1)
    return images.index_select(3, columns).unfold(3, 4, 1).contiguous().view(torch.int32)[..., 0]


def slide_rows(images: Tensor, op: Ops, argument: Arguments, fill: Colour) -> Tensor:
    """Shears and translations along x, bicubic: each row moves by a different distance."""
    return _slide(images, motion(op, argument, images.shape[-1])[:, :3], fill)


def slide_columns(images: Tensor, op: Ops, argument: Arguments, fill: Colour) -> Tensor:
    """`slide_rows` along the other axis."""
    moves = motion(op, argument, images.shape[-1])[:, [3, 5, 4]]
    return _slide(images.mT.contiguous(), moves, fill).mT


def _slide(images: Tensor, moves: Ops, fill: Colour) -> Tensor:
    """Moves rows along themselves. moves: [n, 3], the first half of a `motion`."""
    side = images.shape[-1]
    middle, _, slope = put(moves.T[..., None], images.device)
    columns = torch.arange(side, device=images.device)
    first = middle - side // 2 * POSITION_ONE + slope * (columns - side // 2)  # [n, B]: place of each row's first pixel
    whole, weights = _taps(first, images.device)
    place = torch.arange(-1, side + 2, device=images.device) + whole[..., None]
    taps = images.gather(3, place.clamp_(0, side - 1)[:, None].expand(-1, 3, -1, -1)).float()
    moved = torch.zeros(images.shape, dtype=torch.float32, device=images.device)
    for tap in range(4):
        moved.addcmul_(weights[:, None, :, None, tap], taps[..., tap : tap + side])
    inside = _within(first[..., None] + columns * POSITION_ONE, side)
    return _framed(_truncate(moved.add_(1 / 128)), inside, fill)


# Note [moves in whole numbers]: positions are multiples of 2**-20 pixels, rounded to 2**-10 when weights are looked up,
# and weights are multiples of 2**-14. A weight times a level and the sum of four such products fit into float32's 24
# bits. So neither their order nor fused multiplication and addition changes the result: CPUs, GPUs and the C++ kernel
# (native/augment/augment_loops.h) give the same pixels. A row's sum is rounded to 2**-6 of a level; then 2**-7 is added
# to the result, and it is truncated, as in Pillow. A whole level stays the same.
POSITION_ONE = 1 << 20
PHASES = 1 << 10
WEIGHT_ONE = 1 << 14


def motion(op: Ops, argument: Arguments, side: int) -> NDArray[np.int64]:
    """The origins of a moved image's pixels, an affine map in multiples of 2**-20 pixels.

    Args:
        op: `Op`s, [n]; those that do not move pixels get the identity.
        argument: as in `augment`, [n].
        side: B, pixels.

    Returns:
        [n, 6]: x of the origin of the pixel in column and row `side // 2`, counted from the first pixel's centre; the
        change of x from one column to the next, and from one row to the next; the same three for y.
    """
    turn = op == Op.ROTATE
    angle = np.radians(np.where(turn, argument, 0))
    cos, sin = np.cos(angle), np.sin(angle)
    shear_x, shear_y, move_x, move_y = (
        np.where(op == kind, argument, 0) for kind in (Op.SHEAR_X, Op.SHEAR_Y, Op.TRANSLATE_X, Op.TRANSLATE_Y)
    )
    middle = side // 2
    off = middle + 0.5 - side / 2  # from the image's centre to that of the pixel in the middle
    x = np.where(turn, side / 2 - 0.5 + (cos - sin) * off, middle + shear_x * (middle + 0.5) + move_x * side)
    y = np.where(turn, side / 2 - 0.5 + (cos + sin) * off, middle + shear_y * (middle + 0.5) + move_y * side)
    places = np.stack((x, cos, shear_x - sin, y, shear_y + sin, cos), axis=-1)
    return np.rint(places * POSITION_ONE).astype(np.int64)


def moves(op: Ops, argument: Arguments, side: int) -> NDArray[np.float64]:
    """The origin of each point of an image, as a fraction of the side: for boxes, points and masks.

    Args:
        op: `Op`s, or -1 for none, [n, steps].
        argument: as in `augment`, of the same shape.
        side: B, pixels.

    Returns:
        [n, steps, 2, 3]: a point (x, y) of the result, 0 to 1, was at `m[:, :2] @ (x, y) + m[:, 2]` before the step.
    """
    place = motion(op.ravel(), argument.ravel(), side).reshape(-1, 2, 3) / POSITION_ONE
    turn = place[..., 1:]
    middle = side // 2 + 0.5  # the point that `motion` counts from, in pixels from the edge
    start = place[..., 0] + 0.5 - turn.sum(-1) * middle
    return np.concatenate((turn, start[..., None] / side), axis=-1).reshape(*op.shape, 2, 3)


def by_operation(op: Ops, values: Mapping[Op, Arguments]) -> Arguments:
    """For each of `op`, of any shape, the number at its place in `values[op]`; 0 for operations that are not there."""
    result = np.zeros(np.shape(op))
    for kind, value in values.items():
        np.copyto(result, value, where=op == kind)
    return result


def pack(op: Ops, argument: Arguments, side: int) -> NDArray[np.void]:
    """Operations in the form of the kernel.

    Args:
        op: `Op`s, or -1 for none, [n, steps].
        argument: as in `augment`, of the same shape.
        side: B, pixels.

    Returns:
        OPERATION [n, steps].
    """
    packed = np.empty(op.shape, OPERATION)
    packed["kind"], packed["argument"] = op, argument
    packed["map"] = motion(op.ravel(), argument.ravel(), side).reshape(*op.shape, 6)
    return packed


@lru_cache(maxsize=1)
def packed_weights() -> NDArray[np.int16]:
    """`cubic_weights` in the form of the kernel, in multiples of 2**-14."""
    return (cubic_weights() * WEIGHT_ONE).astype(np.int16)


def cubic_weights() -> NDArray[np.float64]:
    """Weights of the four pixels around a position, by its fraction, [PHASES, 4]; the sum of each row is 1.

    Keys's cubic kernel with a = -1, Pillow's for moving (it resizes with -0.5), in multiples of 2**-14.
    """
    part = np.arange(PHASES) / PHASES
    weights = np.stack(
        (
            -part * (1 - part) ** 2,
            1 - part * part * (2 - part),
            part * (1 + part - part * part),
            -part * part * (1 - part),
        ),
        axis=-1,
    )
    whole = np.rint(weights * WEIGHT_ONE)
    whole[np.arange(PHASES), 1 + (part > 0.5)] += WEIGHT_ONE - whole.sum(1)  # the larger of the inner two
    return whole / WEIGHT_ONE


def _taps(place: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """The pixel at or before each position, and the weights [..., 4] of the one before it, itself and the two after."""
    near = place + POSITION_ONE // PHASES // 2
    phase = near >> 10 & PHASES - 1
    return near >> 20, constant(cubic_weights, device=device)[phase]


def _within(place: Tensor, side: int) -> Tensor:
    """Whether a position lies on one of `side` pixels, along one axis."""
    edge = place + POSITION_ONE // 2
    return (edge >= 0) & (edge < side * POSITION_ONE)


def _framed(levels: Tensor, inside: Tensor, fill: Colour) -> Tensor:
    """uint8 `levels` (overwritten) with `fill` outside of `inside`, [n, B, B]."""
    colour = put(np.array(fill, np.uint8), levels.device)[:, None, None]
    mask = -inside[:, None].view(torch.uint8)  # 255 or 0: `torch.where` goes byte by byte
    return levels.bitwise_xor_(colour).bitwise_and_(mask).bitwise_xor_(colour)


def _blend(degenerate: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Blends `degenerate` (factor 0) and `images` (1), extrapolated above 1, in Pillow's order and precision; uint8."""
    return _truncate(degenerate + factor * (images - degenerate))


def _truncate(levels: Tensor) -> Tensor:
    """uint8 of float `levels`, which are overwritten. Via int16: torch's direct conversion is not vectorised."""
    return levels.clamp_(0, 255).short().to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """int32 [n, 1, B, B], luma of ITU-R 601 in Pillow's fixed-point arithmetic."""
    red, green, blue = images.int().split(1, dim=1)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _ramp(images: Tensor) -> Tensor:
    """int32 [1, 1, 256]: 0 to 255, the identity table."""
    return torch.arange(256, dtype=torch.int32, device=images.device)[None, None]


def _column(argument: NDArray[np.float64], images: Tensor) -> Tensor:
    """float32 [n, 1, 1] on the device of `images`; Pillow takes single precision, too."""
    return put(argument.astype(np.float32), images.device)[:, None, None]
