"""The recipe's optimizer, with weight decay where it belongs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from efficienttrain.models import no_decay
from efficienttrain.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, LAMB or SGD of timm's, in two groups: biases, norms and what the model names are not decayed."""
    from timm.optim import create_optimizer_v2

    spared = no_decay(model)
    decayed: list[nn.Parameter] = []
    bare: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (bare if name in spared else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": bare, "weight_decay": 0.0}]
    settings: dict[str, Any] = {"momentum": recipe.momentum}  # of SGD, with Nesterov's look ahead
    if recipe.optimizer != "sgd":
        settings = {"eps": recipe.eps, **({"betas": recipe.betas} if recipe.betas else {})}
    return create_optimizer_v2(
        [group for group in groups if group["params"]], recipe.optimizer, lr=recipe.lr, **settings
    )
