"""Where samples come from: pyramid betons, betons that FFCV wrote, image folders."""

from .dataset import Dataset
from .open import open_dataset

__all__ = ["Dataset", "open_dataset"]
