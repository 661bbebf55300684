"""Weights to begin a training with: an encoder's, or another training's."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from efficienttrain.models.fit import fit

HEADS = ("head", "head_dist", "fc", "classifier", "fc_norm", "norm")
"""Parts that may have fresh weights: what comes after the blocks depends on classes and pooling."""


@torch.no_grad()
def begin_with(model: nn.Module, path: Path) -> list[str]:
    """Puts the weights of a file into a network; position embeddings are brought to its size.

    Args:
        model: any, of the same kind as the weights.
        path: `encoder.pt` or `step_*.pt` of a pre-training, a checkpoint of a training, or a state dict.

    Returns:
        Names of what keeps the weights it had, in the head.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or holds the weights of another network.
    """
    found = read(path)
    fresh = []
    for name, own in model.state_dict().items():
        weights = found.get(name)
        if weights is not None and weights.shape != own.shape and name.split(".")[0] not in HEADS:
            try:
                weights = fit(weights, own.shape)
            except ValueError:
                weights = None
        if weights is not None and weights.shape == own.shape:
            own.copy_(weights)
        elif name.split(".")[0] in HEADS:
            fresh.append(name)
        else:
            there = f"{list(found[name].shape)} there" if name in found else "nothing there"
            raise ValueError(
                f"{path} holds the weights of another network: {name} is {list(own.shape)} here, {there}; "
                "give the model that they were trained with."
            )
    return fresh


def read(path: Path) -> dict[str, Tensor]:
    """The weights in a file, under the names of the network that will be trained; nothing in it is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds no weights.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} holds no weights ({(str(error) or 'empty').splitlines()[0]}).") from error
    if isinstance(found, dict) and "identity" in found:
        found = found["learner"]["model"]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{path} holds no weights; give a checkpoint, or a state dict that torch saved.")
    part = "encoder."
    inner = {name[len(part) :]: value for name, value in found.items() if name.startswith(part)}
    return inner or found
