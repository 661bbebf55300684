"""Backends execute the plan: torch (the reference), FFCV or DALI. Each is imported only when it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sources import Dataset
    from ..transforms.pipeline import TransformPipeline
    from .base import Backend

__all__ = ["BACKENDS", "make_backend"]

BACKENDS = {
    "torch": "torch:TorchBackend",
    "ffcv": "ffcv:FFCVBackend",
    "dali": "dali:DALIBackend",
    "auto": "auto:AutoBackend",
}
"""Name -> "module:class" in this package. A new backend is a module and a line here."""


def make_backend(name: str, dataset: Dataset, pipeline: TransformPipeline, **options: Any) -> Backend:
    """The backend of that name.

    Args:
        name: a key of BACKENDS.
        dataset, pipeline: the data set, and the batch transforms.
        options: `train`, `seed`, `num_workers`, `prefetch_factor` and those of `Decoder`.

    Raises:
        LoaderError: the package that the backend drives is not installed; the message names it.
    """
    module, made = BACKENDS[name].split(":")
    backend: Backend = getattr(importlib.import_module(f".{module}", __name__), made)(dataset, pipeline, **options)
    return backend
