"""Sources of samples: pyramid betons, betons that FFCV wrote, image folders, and all other convertible sources."""

from ..beton.fields import FieldType
from .dataset import Dataset
from .open import open_dataset, open_source
from .source import FileRange, Kind, Options, Sample, Source

__all__ = [
    "Dataset",
    "FieldType",
    "FileRange",
    "Kind",
    "Options",
    "Sample",
    "Source",
    "open_dataset",
    "open_source",
]
