"""Accuracy on the evaluation images, at the stage's and at full resolution, of the weights and their average."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
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
def tally(model: nn.Module, loader: Loader, resolution: int, ranks: Ranks, dtype: torch.dtype | None = None) -> Tensor:
    """The network's scores on the loader's images at this resolution, summed for each class.

    Each rank takes its part; every image counts once (the loader must have `drop_last=False`), so the result is exact
    for any world size. dtype: of autocast; None: full precision.

    Returns:
        float64 [classes, 4]: images, those classed rightly, those whose class is among the five likeliest (of fewer
        classes, among all but one), and the sum of their cross-entropies in nats.

    Raises:
        ValueError: the data have more classes than the network has outputs.
    """
    loader.set_stage(resolution=resolution)
    loader.set_epoch(0)
    model.eval()
    sums = torch.zeros(len(loader.classes), 4, dtype=torch.float64, device=ranks.device)
    for images, labels in loader:
        with torch.autocast(ranks.device.type, dtype, enabled=dtype is not None):
            logits = model(images)
        logits = logits.float()
        outputs = logits.shape[1]
        if outputs < len(sums):
            raise ValueError(f"the network must have an output for each of the {len(sums)} classes, got {outputs}.")
        ranked = logits.topk(max(1, min(5, outputs - 1)), dim=1).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="none")
        facts = torch.stack([torch.ones_like(loss), ranked[:, 0].float(), ranked.any(1).float(), loss], dim=1)
        sums.index_add_(0, labels, facts.double())
    return ranks.total(sums)


def score(model: nn.Module, loader: Loader, resolution: int, ranks: Ranks, dtype: torch.dtype | None = None) -> Score:
    """The network's accuracy over all images of the loader; see `tally`."""
    images, top1, top5, loss = tally(model, loader, resolution, ranks, dtype).sum(0).tolist()
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
        `top1`, `top5`, `loss` at full size; `top1_stage` at the resolution; `ema_top1` at full size, if there is an
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
