"""no_decay: which parameters take no weight decay."""

from __future__ import annotations

from torch import nn


def no_decay(model: nn.Module) -> set[str]:
    """Names of the parameters that no weight decay applies to, as in the released code (`optim_factory.py`).

    Those are biases, all one-dimensional ones (norms, layer scale), and those that the model's own `no_weight_decay()`
    names, if it has one: position embeddings and class token of DeiT. timm's Swin also names its relative position bias
    tables; in the released code these do decay, and so they do here.
    """
    own: set[str] = getattr(model, "no_weight_decay", set)()
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim <= 1
        or name.endswith(".bias")
        or (name in own and not name.endswith("relative_position_bias_table"))
    }
