"""Images for training, at the bandwidth asked for and no larger: ladders, image folders, one loader.

Importing this package loads neither torch nor any backend.
"""

from loaders.errors import BadDataset, BadSample, LoaderError
from loaders.loader import Loader
from loaders.store import convert, open_store

__all__ = ["BadDataset", "BadSample", "Loader", "LoaderError", "convert", "open_store"]
