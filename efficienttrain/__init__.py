"""What to ask of a data loader while a network trains: the EfficientTrain++ curriculum.

Importing this package loads neither torch nor timm.
"""

from __future__ import annotations

from efficienttrain.curriculum import GENERAL, Stage, epochs_of, merged, table
from efficienttrain.recipe import Recipe, recipe
from efficienttrain.step_schedule import Schedule

__all__ = ["GENERAL", "Recipe", "Schedule", "Stage", "epochs_of", "merged", "recipe", "table"]
