"""Batch transforms: `nn.Module`s for whole batches whose random numbers come from the plan, never from torch.

Each is called as `transform(images, batch)`. None waits for the device: random numbers are drawn on the host, from
sample indices, and sent to the device in advance.
"""

from __future__ import annotations

from .color import ColorJitter, RandomGrayscale
from .erasing import RandomErasing
from .low_frequency import LowFrequencyCrop
from .mix import Mixup
from .normalize import Normalize
from .per_sample import PerSample
from .randaugment import RandAugment
from .three_augment import ThreeAugment
from .trivial_augment import TrivialAugmentWide

__all__ = [
    "ColorJitter",
    "LowFrequencyCrop",
    "Mixup",
    "Normalize",
    "PerSample",
    "RandAugment",
    "RandomErasing",
    "RandomGrayscale",
    "ThreeAugment",
    "TrivialAugmentWide",
]
