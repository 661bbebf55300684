"""Resized parameters on several ranks, for frameworks that wrap the network in DistributedDataParallel themselves.

DistributedDataParallel (DDP) averages gradients in buckets of a fixed shape, so a wrapped parameter must not change its
shape. A framework does not wrap the network again. Such parameters are therefore hidden from DDP, by the list of
names that it reads from the module, and a hook averages their gradients as soon as backward has computed them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import nn

from efficienttrain.models.size import resize

HIDDEN = "_ddp_params_and_buffers_to_ignore"
"""The attribute that DDP reads, see `DistributedDataParallel._set_params_and_buffers_to_ignore_for_model`."""


def changing(network: nn.Module, resolutions: Iterable[int]) -> list[str]:
    """Names of the parameters and buffers whose shapes depend on the input's size."""
    shapes: list[dict[str, torch.Size]] = []
    twin = copy.deepcopy(network)
    for resolution in sorted(set(resolutions)):
        resize(twin, resolution)
        shapes.append({name: value.shape for name, value in (*twin.named_parameters(), *twin.named_buffers())})
    return sorted({name for some in shapes for name in some if any(other.get(name) != some[name] for other in shapes)})


def hide(wrapped: nn.Module, network: nn.Module, names: Iterable[str]) -> list[nn.Parameter]:
    """Hides parameters and buffers from DDP, and averages the parameters' gradients over the ranks in backward.

    Args:
        wrapped: the module that the framework will wrap in DDP: `network`, or a module that contains it.
        network: the network that is resized.
        names: the result of `changing`.

    Returns:
        The hidden parameters. DDP does not make them equal on all ranks at the beginning; see `equalise`.

    Raises:
        ValueError: `wrapped` does not contain `network`.
    """
    prefix = next((name for name, module in wrapped.named_modules() if module is network), None)
    if prefix is None:
        raise ValueError("the curriculum's `model` must be a part of the module that is trained, and is none.")
    place = f"{prefix}." if prefix else ""
    setattr(wrapped, HIDDEN, [*getattr(wrapped, HIDDEN, ()), *(place + name for name in names)])
    own = dict(network.named_parameters())
    hidden = [own[name] for name in names if name in own]
    for parameter in hidden:
        parameter.register_post_accumulate_grad_hook(_average)
    return hidden


def equalise(parameters: Iterable[nn.Parameter]) -> None:
    """Copies the values of rank 0 to all ranks."""
    for parameter in parameters:
        dist.broadcast(parameter.data, 0)


def _average(parameter: nn.Parameter) -> None:
    """Averages a gradient over the ranks. Correct for accumulated gradients, too: earlier parts are equal."""
    if dist.is_initialized() and dist.get_world_size() > 1 and parameter.grad is not None:
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()
