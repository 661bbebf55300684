"""Keyed randomness inside the network: dropout and drop path are functions of (seed, step, micro-batch).

So a resumed run needs no generator state, a step that is repeated with smaller micro-batches gets defined new draws,
and ranks get different draws without arithmetic on a seed.
"""

from __future__ import annotations

import numpy as np
import torch

from efficienttrain._loaders import Purpose, words


def key_weights(seed: int) -> None:
    """Keys torch's generators for the initial weights."""
    _key(seed, 0, 0, Purpose.WEIGHTS)


def key_step(seed: int, step: int, group: int) -> None:
    """Keys torch's generators for one micro-batch; `group` is its number within the step, over all ranks."""
    _key(seed, step, group, Purpose.NOISE)


def _key(seed: int, step: int, group: int, purpose: Purpose) -> None:
    high, low = words(seed, step, np.array([group]), purpose, 2)[0]
    torch.manual_seed((int(high) << 32 | int(low)) - 2**63)
