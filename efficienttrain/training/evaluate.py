"""Accuracy on the evaluation images, at the stage's and at full resolution, of the weights and their average."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from efficienttrain._loaders import Loader
from efficienttrain.models import resize
from efficienttrain.training.distributed import Ranks


class Score(NamedTuple):
    """Of one network on all evaluation images."""

    top1: float
    """Share classed rightly, 0 to 1."""
    top5: float
    """Share whose class is among the five likeliest; of fewer classes, among all but one of them."""
    loss: float
    """Mean cross-entropy, nats."""
    images: int


@torch.no_grad()
def score(model: nn.Module, loader: Loader, resolution: int, ranks: Ranks, dtype: torch.dtype | None = None) -> Score:
    """Runs the loader's images through the network, centre crops of this resolution.

    Each rank takes its part; every image counts once (the loader must have `drop_last=False`), so the result is exact
    for any world size. dtype: of autocast; None: full precision.
    """
    loader.set_stage(resolution=resolution)
    loader.set_epoch(0)
    model.eval()
    sums = torch.zeros(3, dtype=torch.float64, device=ranks.device)
    count = 0
    for images, labels in loader:
        with torch.autocast(ranks.device.type, dtype, enabled=dtype is not None):
            logits = model(images)
        logits = logits.float()
        ranked = logits.topk(max(1, min(5, logits.shape[1] - 1)), dim=1).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([ranked[:, 0].sum(), ranked.sum(), loss])
        count += len(labels)
    top1, top5, loss, images = ranks.total(torch.cat((sums, sums.new_tensor([count])))).tolist()
    return Score(top1 / images, top5 / images, loss / images, int(images))


def evaluate(
    models: list[nn.Module],
    loader: Loader,
    resolution: int,
    size: int,
    ranks: Ranks,
    dtype: torch.dtype | None = None,
) -> dict[str, float]:
    """Scores at the stage's `resolution` and at full `size`, for which copies are resized.

    models: the network, and the average of its weights if there is one.

    Returns:
        `top1`, `top5`, `loss` at full size; `top1_stage` at the resolution; `ema_top1` at full size, where there is an
        average.
    """
    ranks.average_buffers(*models)
    model, *averages = models
    staged = score(resized(model, resolution), loader, resolution, ranks, dtype)
    full = staged if resolution == size else score(resized(model, size), loader, size, ranks, dtype)
    found = {"top1": full.top1, "top5": full.top5, "loss": full.loss, "top1_stage": staged.top1}
    for average in averages:
        found["ema_top1"] = score(resized(average, size), loader, size, ranks, dtype).top1
    return found


def resized(model: nn.Module, size: int) -> nn.Module:
    """A copy for this input size, not compiled: sizes and last batches of evaluation vary too much to be worth it."""
    twin = copy.deepcopy(model)
    resize(twin, size)
    return twin
