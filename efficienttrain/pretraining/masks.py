"""Which patches are hidden: looked up by (seed, step, place of the sample in the step), not drawn in turn.

So a resumed run hides the same ones, and so does one with other micro-batches or another number of ranks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from efficienttrain._loaders import Purpose, words


class Mask(NamedTuple):
    """Places of patches in their grid, row by row; every patch is in one of the two."""

    visible: torch.Tensor
    """int64 [n, v]: shown to the encoder."""
    hidden: torch.Tensor
    """int64 [n, h]: to be predicted by the decoder."""


def draw(
    seed: int, step: int, first: int, samples: int, patches: int, visible: int, device: str | torch.device = "cpu"
) -> Mask:
    """Masks of the samples at places `first` to `first + samples - 1` of a step; any `visible` of the patches alike.

    Args:
        seed: 0 to 2**64 - 1.
        step: of the optimizer, 0 to 2**32 - 1.
        patches: in an image, up to 2**18.
        visible: of them, the number that is shown.
    """
    drawn = words(seed, step, np.arange(first, first + samples), Purpose.MASK, patches)
    order = torch.from_numpy(np.argsort(drawn, axis=1, kind="stable"))
    if torch.device(device).type == "cuda":
        order = order.pin_memory().to(device, non_blocking=True)
    return Mask(order[:, :visible], order[:, visible:])
