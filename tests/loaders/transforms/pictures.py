"""Tensors of pixels, and Pillow's images of the same."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


def pixels(*shape: int) -> torch.Tensor:
    """uint8 noise of this shape, the same at every call."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def pillow(image: torch.Tensor) -> Image.Image:
    """An image [3, B, B] as Pillow's."""
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))


def tensor(image: Image.Image) -> torch.Tensor:
    """Pillow's image as [3, B, B]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
