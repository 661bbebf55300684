"""The plan: level, crop and flip of each sample, as arrays, made before any byte is read."""

from .geometry import CropGeometry
from .order import Batches, Sampling, Shares, epoch_order, replacements
from .pieces import window_of
from .plan import plan_batch
from .records import ENTRY, SAMPLE

__all__ = [
    "Batches",
    "CropGeometry",
    "ENTRY",
    "SAMPLE",
    "Sampling",
    "Shares",
    "epoch_order",
    "plan_batch",
    "replacements",
    "window_of",
]
