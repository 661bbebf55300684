"""On-device operations on whole batches: `nn.Module`s whose random numbers come from the plan, never from torch.

None waits for the device: what is drawn is drawn on the host, from sample indices, and sent ahead of the work.
"""

from __future__ import annotations

from loaders.ops.erase import RandomErasing
from loaders.ops.lowfreq import LowFrequencyCrop
from loaders.ops.mix import Mixup
from loaders.ops.normalise import Normalize
from loaders.ops.randaugment import RandAugment

__all__ = ["LowFrequencyCrop", "Mixup", "Normalize", "RandAugment", "RandomErasing"]
