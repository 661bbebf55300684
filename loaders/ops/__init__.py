"""On-device operations on whole batches: `nn.Module`s whose random numbers come from the plan, per sample."""

from __future__ import annotations

from loaders.ops.randaugment import RandAugment

__all__ = ["RandAugment"]
