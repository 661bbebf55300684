"""Sizes of networks as their papers give them."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module) -> float:
    """Millions of parameters."""
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def gflops(model: nn.Module) -> float:
    """Billions of multiply-adds for an image of 224 pixels, which papers call FLOPs; of a model on the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 224, 224, device="meta"))
    return float(counter.get_total_flops()) / 2e9
