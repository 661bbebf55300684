"""Where bytes come from: ladders, betons of FFCV's, image folders; and how ladders are made."""

from loaders.store.base import Store
from loaders.store.convert import Summary, convert
from loaders.store.extract import extract
from loaders.store.open import open_store
from loaders.store.verify import Damage, verify

__all__ = ["Damage", "Store", "Summary", "convert", "extract", "open_store", "verify"]
