"""The recipe's optimizer, with weight decay where it belongs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from efficienttrain.models import no_decay
from efficienttrain.models.layer_decay import layer_scales
from efficienttrain.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, LAMB or SGD of timm's. Biases, norms and what the model names are not decayed.

    With `recipe.layer_decay` below 1 there is a group for each layer, whose `lr_scale` multiplies its learning rate.
    """
    from timm.optim import create_optimizer_v2

    spared, scales = no_decay(model), layer_scales(model, recipe.layer_decay)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((scales[name], name not in spared), []).append(parameter)
    made = [
        {"params": groups[scale, decays], "weight_decay": recipe.weight_decay * decays, "lr_scale": scale}
        for scale, decays in sorted(groups, reverse=True)  # the head first; if all are alike, the decayed ones
    ]
    settings: dict[str, Any] = {"momentum": recipe.momentum}  # of SGD, with Nesterov's look ahead
    if recipe.optimizer != "sgd":
        settings = {"eps": recipe.eps, **({"betas": recipe.betas} if recipe.betas else {})}
    return create_optimizer_v2(made, recipe.optimizer, lr=recipe.lr, **settings)
