"""On-device operations on whole batches: `nn.Module`s whose random numbers come from the plan, never from torch.

None waits for the device: what is drawn is drawn on the host, from sample indices, and sent ahead of the work.
"""

from __future__ import annotations

from .erasing import RandomErasing
from .low_frequency import LowFrequencyCrop
from .mix import Mixup
from .normalize import Normalize
from .randaugment import RandAugment

__all__ = ["LowFrequencyCrop", "Mixup", "Normalize", "RandAugment", "RandomErasing"]
