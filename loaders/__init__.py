"""Images for training, decoded at the resolution that is used: pyramids, image folders, one loader.

Importing this package loads neither torch nor any backend.
"""

from .batch import Batch
from .conversion import convert
from .errors import BadDataset, BadSample, LoaderError
from .eval_like import eval_like
from .loader import Loader
from .sources import open_dataset

__all__ = ["BadDataset", "BadSample", "Batch", "Loader", "LoaderError", "convert", "eval_like", "open_dataset"]
