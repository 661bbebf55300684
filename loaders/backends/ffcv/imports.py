"""Imports FFCV, or reports that it is missing; no other module imports it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import LoaderError
from ...requirements import FFCV

__all__ = [
    "AllocationQuery",
    "EpochIterator",
    "IntDecoder",
    "Loader",
    "MemoryContext",
    "SimpleRGBImageDecoder",
    "State",
    "TraversalOrder",
    "threads_kept",
]


@contextmanager
def threads_kept() -> Iterator[None]:
    """Restores the thread counts of torch and numba, which FFCV changes for the whole process, even on import."""
    import numba
    import torch

    of_torch, of_numba = torch.get_num_threads(), numba.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(of_torch)
        numba.set_num_threads(of_numba)


@contextmanager
def _quick_import() -> Iterator[None]:
    # Note [FFCV's import]: FFCV keeps two constants in a numba dictionary. For this dictionary numba compiles for three
    # seconds, uncached, in every process. Only Python code reads the constants, so a plain dictionary suffices.
    from numba import typed

    slow = typed.Dict
    typed.Dict = dict
    try:
        with warnings.catch_warnings(), threads_kept():
            warnings.simplefilter("ignore")
            yield
    finally:
        typed.Dict = slow


try:
    with _quick_import():
        from ffcv.fields.basics import IntDecoder
        from ffcv.fields.rgb_image import SimpleRGBImageDecoder
        from ffcv.loader import Loader
        from ffcv.loader.epoch_iterator import EpochIterator
        from ffcv.memory_managers import MemoryContext
        from ffcv.pipeline.allocation_query import AllocationQuery
        from ffcv.pipeline.state import State
        from ffcv.traversal_order.base import TraversalOrder
except ImportError as error:
    raise LoaderError(f'backend="ffcv" and the parts for FFCV pipelines need FFCV ({error}); {FFCV}') from None
