"""The curriculum in your own training loop: plain PyTorch, Lightning, Hugging Face, timm.

A plain loop needs only `Curriculum`. The callbacks of Lightning and of the Hugging Face Trainer are imported on first
use, so the other parts work without these frameworks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from efficienttrain.callbacks.any_loop import Curriculum

if TYPE_CHECKING:
    from efficienttrain.callbacks.hugging_face import HuggingFaceCurriculum
    from efficienttrain.callbacks.in_lightning import LightningCurriculum

__all__ = ["Curriculum", "HuggingFaceCurriculum", "LightningCurriculum"]

_LATER = {"HuggingFaceCurriculum": "hugging_face", "LightningCurriculum": "in_lightning"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
