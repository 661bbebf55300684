"""Initial weights of a training, and export of trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from efficienttrain.models.size import fit
from efficienttrain.models.weight_file import read_weights
from efficienttrain.models.weight_names import DERIVED, may_be_fresh, renamed


@torch.no_grad()
def begin_with(model: nn.Module, path: Path, average: bool = False) -> list[str]:
    """Loads the weights of a file into a network; position embeddings and bias tables are resized to its size.

    Args:
        model: any network of the same kind as the weights.
        path: a checkpoint of this package or of a public code base, a state dict, or safetensors: see
            `weight_file.read_weights`. Names may be timm's or those of the authors of Swin, CSWin, PVT, ConvNeXt,
            CAFormer, DeiT and MAE.
        average: prefer the moving average if the file has one.

    Returns:
        Names of the head's parameters that were not loaded.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or holds the weights of another network.
    """
    found = renamed(read_weights(path, average), model)
    fresh = []
    for name, own in model.state_dict().items():
        if name.split(".")[-1] in DERIVED:
            continue
        weights = _fitted(found.get(name), own, name)
        if weights is not None:
            own.copy_(weights)
        elif may_be_fresh(name):
            fresh.append(name)
        else:
            there = f"{list(found[name].shape)} there" if name in found else "nothing there"
            raise ValueError(
                f"{path} holds the weights of another network: {name} is {list(own.shape)} here, {there}; "
                "give the model that they were trained with, and if the data set lacks some of its classes, their "
                "number (`--classes`)."
            )
    return fresh


@torch.no_grad()
def scale_head(model: nn.Module, fresh: list[str], scale: float) -> None:
    """Scales the new weights of the classifier, as the authors of MAE and ConvNeXt do before fine-tuning."""
    for name, parameter in model.named_parameters():
        if name in fresh and "norm" not in name:
            parameter.mul_(scale)


def fresh_head(model: nn.Module) -> list[str]:
    """Names of the classifier's parameters, if timm could not load them from the pretrained weights."""
    facts: Any = getattr(model, "pretrained_cfg", {})
    parts = facts.get("classifier") or ()
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    if facts.get("num_classes") == getattr(model, "num_classes", None):
        return []
    return [name for name, _ in model.named_parameters() if name.startswith(tuple(f"{part}." for part in parts))]


def timm_state_dict(path: str | Path, average: bool = True) -> dict[str, Tensor]:
    """The weights of one of our checkpoints under the names of plain timm.

        model = timm.create_model("resnet50", num_classes=1000)
        model.load_state_dict(timm_state_dict(Path("runs/r50/best.pt")))

    The network must be created for the input size of the checkpoint, which is full size at the end of a training.

    Args:
        path: `best.pt`, `step_*.pt` or `encoder.pt` of a run.
        average: take the moving average if there is one.

    Raises:
        FileNotFoundError, ValueError: as `weight_file.read_weights` does.
    """
    return {name: value.contiguous() for name, value in read_weights(Path(path), average).items()}


def _fitted(weights: Tensor | None, own: Tensor, name: str) -> Tensor | None:
    """The weights in the shape of `own`; None if they cannot have it."""
    if weights is None or weights.shape == own.shape:
        return weights
    if may_be_fresh(name):
        return None
    try:
        return fit(weights, own.shape)
    except ValueError:
        return None
