"""The plan: what is to happen to each sample, as arrays, made before any byte is read."""

from loaders.plan.order import Batches, batch_slice, epoch_order, next_position, steps_per_epoch
from loaders.plan.plan import plan_batch
from loaders.plan.records import ENTRY, SAMPLE
from loaders.plan.replace import replacements

__all__ = [
    "Batches",
    "ENTRY",
    "SAMPLE",
    "batch_slice",
    "epoch_order",
    "next_position",
    "plan_batch",
    "replacements",
    "steps_per_epoch",
]
