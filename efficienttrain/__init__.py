"""The EfficientTrain++ curriculum: the resolution and augmentation of a training at each step.

The loader can be imported from here: `from efficienttrain import Loader, convert` also works in a project that has
another package named `loaders`. Importing this package loads neither torch nor timm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from efficienttrain.curriculum import GENERAL, Stage, epochs_of, merged, table
from efficienttrain.recipe import Recipe, recipe
from efficienttrain.step_schedule import Schedule

if TYPE_CHECKING:
    from efficienttrain._loaders import Loader as Loader
    from efficienttrain._loaders import convert as convert

__all__ = ["GENERAL", "Loader", "Recipe", "Schedule", "Stage", "convert", "epochs_of", "merged", "recipe", "table"]


def __getattr__(name: str) -> Any:
    if name in ("Loader", "convert"):  # imported on first use: they need NumPy, but printing a schedule does not
        from efficienttrain import _loaders

        return getattr(_loaders, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
