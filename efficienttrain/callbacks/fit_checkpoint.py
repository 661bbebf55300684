"""A network that takes a checkpoint's input size before it loads the checkpoint's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from efficienttrain.models.size import resize


def fit_to_checkpoint(model: nn.Module, resolutions: Sequence[int]) -> None:
    """Makes `model.load_state_dict` accept weights saved at any of these resolutions, pixels.

    Frameworks restore the weights before a callback can say which stage they belong to. The stage is therefore found by
    the shapes in the checkpoint. Weights that fit none of the sizes are refused by torch's own message.
    """
    sizes = sorted(set(resolutions))

    def before(module: nn.Module, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
        for size in sizes:
            if _fits(module, state, prefix):
                return
            resize(module, size)

    model.register_load_state_dict_pre_hook(before)


def _fits(module: nn.Module, state: Mapping[str, Any], prefix: str) -> bool:
    return all(
        not isinstance(saved := state.get(prefix + name), Tensor) or saved.shape == own.shape
        for name, own in module.named_parameters()
    )
