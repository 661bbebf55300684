"""fit: the values of a position embedding or bias table on another grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_EXTRA = 16  # class token, distillation token, registers


def fit(values: Tensor, shape: Sequence[int]) -> Tensor:
    """`values` at another size, interpolated bilinearly over the grid (`align_corners=False`).

    Args:
        values: tokens [1, extra + side^2, channels], extra ones (class token) first; or a table of relative position
            biases [side^2 + extra, heads], extra ones last, as in BEiT. Extra rows are left as they are.
        shape: the shape wanted, which differs in the number of rows only.

    Returns:
        A tensor of that shape, of the same type and device.

    Raises:
        ValueError: shapes that fit no square grid.

    Source: the adapters of the released `utils_buffer.py`.
    """
    if tuple(values.shape) == tuple(shape):
        return values
    alike = values.ndim == len(shape) > 1 and values.shape[-1] == shape[-1] and values.shape[:-2] == tuple(shape[:-2])
    old, new = (values.shape[-2], shape[-2]) if alike else (0, 0)
    extra = next((k for k in range(MOST_EXTRA + 1) if _square(old - k) and _square(new - k)), None)
    if extra is None:
        raise ValueError(f"a square grid of positions can be resized, not {tuple(values.shape)} to {tuple(shape)}.")
    tokens = values.ndim == 3
    kept, grid = (values[:, :extra], values[:, extra:]) if tokens else (values[old - extra :], values[: old - extra])
    side, wanted = math.isqrt(old - extra), math.isqrt(new - extra)
    image = grid.reshape(-1, side, side, grid.shape[-1]).movedim(-1, 1).float()
    image = F.interpolate(image, (wanted, wanted), mode="bilinear", align_corners=False)
    grid = image.movedim(1, -1).reshape(*grid.shape[:-2], wanted * wanted, -1).to(values.dtype)
    return torch.cat((kept, grid) if tokens else (grid, kept), dim=-2)


def _square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number
