"""The recipe's optimizer: the parameters with weight decay, and the learning rate of each layer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from efficienttrain.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """timm's AdamW, LAMB or SGD. Biases, norms and parameters that the model names are not decayed.

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
        for scale, decays in sorted(groups, reverse=True)  # the head first; among equal rates, the decayed ones
    ]
    settings: dict[str, Any] = {"momentum": recipe.momentum}  # of SGD, with Nesterov momentum
    if recipe.optimizer != "sgd":
        settings = {"eps": recipe.eps, **({"betas": recipe.betas} if recipe.betas else {})}
    return create_optimizer_v2(made, recipe.optimizer, lr=recipe.lr, **settings)


def no_decay(model: nn.Module) -> set[str]:
    """Names of the parameters without weight decay, as in the released code (`optim_factory.py`).

    These are biases, all one-dimensional parameters (norms, layer scale), and the parameters that the model's own
    `no_weight_decay()` names, if it has one: position embeddings and class token of DeiT. timm's Swin also names its
    relative position bias tables; they are decayed in the released code, and therefore also here.
    """
    own: set[str] = getattr(model, "no_weight_decay", set)()
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim <= 1
        or name.endswith(".bias")
        or (name in own and not name.endswith("relative_position_bias_table"))
    }


NAME = re.compile(r"^(?:blocks|(?:stages|layers)\.(\d+)(?:\.blocks)?|layer(\d+))(?=\.)(?:\.(\d+)\.)?")
"""Stage and block in a timm name: stages.0.blocks.1., layers.0.blocks.1., layer1.0., or blocks.1."""
TOGETHER = {"ConvNeXt": 3}
"""Number of blocks in a layer, by class; your own network can set `blocks_per_layer`."""

Place = tuple[int, int]


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """Factor of each parameter's learning rate: decay ** (layers above it), so 1 for the head.

    Args:
        model: a network of timm or of this package. Your own network needs such names, or a method `block_of(name)`
            that returns (stage, block) of a parameter, and None for embedding and head.
        decay: more than 0, at most 1; with 1 all rates are equal.

    Raises:
        ValueError: a decay out of range, or a network without recognisable blocks.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"`layer_decay` must be more than 0 and at most 1, got {decay}.")
    if decay == 1:
        return {name: 1.0 for name, _ in model.named_parameters()}
    numbers = layers(model)
    last = max(numbers.values())
    return {name: decay ** (last - number) for name, number in numbers.items()}


def layers(model: nn.Module) -> dict[str, int]:
    """The layer of each parameter: 0 before the first block, one more for each block, then the head.

    Final norm and head share the last layer. A stage's downsampling belongs to the stage's first block. Three blocks of
    a ConvNeXt, and two of a CSWin, make one layer, as in the released `optim_factory.py`. A ViT is numbered as
    in MAE's `util/lr_decay.py`.

    Raises:
        ValueError: no blocks are found.
    """
    names = [name for name, _ in model.named_parameters()]
    block_of: Callable[[str], Place | None] = getattr(model, "block_of", _block_of)
    together = int(getattr(model, "blocks_per_layer", TOGETHER.get(type(model).__name__, 1)))
    places = {name: (place[0], place[1] // together) for name in names if (place := block_of(name)) is not None}
    if len(set(places.values())) < 2:
        return _timms(model)
    number = {place: layer for layer, place in enumerate(sorted(set(places.values())), start=1)}
    first, head = names.index(next(iter(places))), len(number) + 1
    outside = {name: 0 if index < first else head for index, name in enumerate(names)}
    return outside | {name: number[place] for name, place in places.items()}


def _block_of(name: str) -> Place | None:
    match = NAME.match(name)
    return None if match is None else (int(match[1] or match[2] or 0), int(match[3] or 0))


def _timms(model: nn.Module) -> dict[str, int]:
    matcher: Any = getattr(model, "group_matcher", None)
    if matcher is None:
        raise ValueError(
            "`layer_decay` needs a network whose blocks have names like stages.0.blocks.1, or a method "
            f"`block_of(name)`, got {type(model).__name__}."
        )
    from timm.models import group_parameters

    return dict(group_parameters(model, matcher(coarse=False), reverse=True))
