"""Scores on the evaluation images, at the stage's and at full resolution, of the weights and of their average."""

from __future__ import annotations

import copy

import torch
from torch import nn

from efficienttrain._loaders import Loader
from efficienttrain.models import resize
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.objective import Objective, Scores


@torch.no_grad()
def score(
    model: nn.Module,
    loader: Loader,
    objective: Objective,
    resolution: int,
    ranks: Ranks,
    dtype: torch.dtype | None = None,
) -> Scores:
    """The network's scores over all images of the loader at this resolution.

    Each rank takes its part; every image counts once (the loader must have `drop_last=False`), so the result is exact
    for any world size.

    Args:
        model: on the ranks' device.
        loader: its batches are images and the objective's field.
        objective: turns batches into scores.
        resolution: B, pixels.
        ranks: of this process.
        dtype: of autocast; None: full precision.

    Raises:
        ValueError: the network has too few outputs for the data.
    """
    loader.set_stage(resolution=resolution)
    loader.set_epoch(0)
    model.eval()
    tally = objective.tally(ranks.device)
    for images, values in loader:
        with torch.autocast(ranks.device.type, dtype, enabled=dtype is not None):
            outputs = model(images)
        tally.add(outputs.float(), objective.targets(values).to(ranks.device))
    return tally.scores(ranks)


def evaluate(
    models: list[nn.Module],
    loader: Loader,
    objective: Objective,
    resolution: int,
    size: int,
    ranks: Ranks,
    dtype: torch.dtype | None = None,
) -> dict[str, float]:
    """Scores at the stage's `resolution`, and at full `size` with resized copies.

    models: the network, and the average of its weights if there is one.

    Returns:
        The objective's scores at full size, such as `top1`, `top5` and `loss`; its metric at the stage's resolution,
        for example `top1_stage`; and the metric of the average, if there is one, at full size, for example `ema_top1`.
    """
    ranks.average_buffers(*models)
    (model, *averages), metric = models, objective.metric
    staged = score(resized(model, resolution), loader, objective, resolution, ranks, dtype)
    full = staged if resolution == size else score(resized(model, size), loader, objective, size, ranks, dtype)
    found = {**full.total, f"{metric}_stage": staged.total[metric]}
    for average in averages:
        found[f"ema_{metric}"] = score(resized(average, size), loader, objective, size, ranks, dtype).total[metric]
    return found


def resized(model: nn.Module, size: int) -> nn.Module:
    """A copy for this input size. Not compiled, because the sizes and last batches of evaluation vary too much."""
    twin = copy.deepcopy(model)
    resize(twin, size)
    return twin
