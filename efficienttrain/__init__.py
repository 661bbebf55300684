"""What to ask of a data loader while a network trains: the EfficientTrain++ curriculum."""

from __future__ import annotations

from efficienttrain.curriculum import GENERAL, Stage, epochs_of, merged, table

__all__ = ["GENERAL", "Stage", "epochs_of", "merged", "table"]
