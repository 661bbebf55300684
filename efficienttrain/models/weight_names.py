"""Renames weights from the names of the networks' authors to those of timm and of this package."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from efficienttrain.models.cswin import CSWin
from efficienttrain.models.pvt import PVT

Weights = dict[str, Tensor]
Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

HEADS = ("head", "head_dist", "fc", "classifier", "fc_norm", "norm")
"""Parts that may have new weights: the layers after the blocks depend on classes and pooling."""
DERIVED = ("relative_position_index", "attn_mask")
"""Buffers that depend on the input's size; they are never loaded from a file."""

CSWIN: Rules = (
    (r"^stage1_conv_embed\.0\.", "stages.0.0.conv."),
    (r"^stage1_conv_embed\.2\.", "stages.0.0.norm."),
    (r"^merge(\d)\.", r"stages.\1.0."),
    (r"^stage(\d)\.(\d+)\.", lambda found: f"stages.{int(found[1]) - 1}.{int(found[2]) + 1}."),
    (r"\.attns\.(\d)\.get_v\.", r".attention.\1.position."),
    (r"(\.\d+)\.proj\.", r"\1.project."),
)
"""Of the authors' CSWin, which EfficientTrain++ also uses."""

PVT_1: Rules = (
    (r"^patch_embed(\d)\.proj\.", lambda found: f"stages.{int(found[1]) - 1}.embed."),
    (r"^patch_embed(\d)\.norm\.", lambda found: f"stages.{int(found[1]) - 1}.norm."),
    (r"^pos_embed(\d)$", lambda found: f"stages.{int(found[1]) - 1}.pos_embed"),
    (r"^cls_token$", "stages.3.cls_token"),
    (r"^block(\d)\.", lambda found: f"stages.{int(found[1]) - 1}.blocks."),
    (r"\.attn\.q\.", ".attention.query."),
    (r"\.attn\.kv\.", ".attention.key_value."),
    (r"\.attn\.proj\.", ".attention.project."),
    (r"\.attn\.sr\.", ".attention.reduce."),
    (r"\.attn\.norm\.", ".attention.norm."),
)
"""Of the authors' PVT, first version."""


def may_be_fresh(name: str) -> bool:
    """Whether a weight of this name belongs to the head, and so may be missing from a file."""
    return name.split(".")[0] in HEADS


def renamed(weights: Weights, model: nn.Module) -> Weights:
    """The weights under the names of `model`, if they have the names of the network's authors.

    CSWin and PVT are renamed here. Networks of timm (Swin, ConvNeXt, CAFormer, DeiT, MAE) are renamed by timm's own
    `checkpoint_filter_fn`, which is called only if the names do not fit.
    """
    needed = {name for name in model.state_dict() if not may_be_fresh(name) and name.split(".")[-1] not in DERIVED}
    if needed <= set(weights):
        return weights
    if isinstance(model, CSWin | PVT):
        rules = CSWIN if isinstance(model, CSWin) else PVT_1
        return {_apply(rules, name): value for name, value in weights.items()}
    convert: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return weights
    try:
        return dict(convert(weights, model))
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError):  # another network's: refused by its names
        return weights


def _apply(rules: Rules, name: str) -> str:
    for pattern, text in rules:
        name = re.sub(pattern, text, name)
    return name
