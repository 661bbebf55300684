"""FFCV: a backend that drives its real loader, and decoders for your own FFCV pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import imports as _imports  # noqa: F401  (first: if FFCV or numba is missing, its error gives the remedy)
from .backend import FFCVBackend

if TYPE_CHECKING:
    from ...integrations.ffcv import SubJPEGCenterCrop, SubJPEGRandomResizedCrop

__all__ = ["FFCVBackend", "SubJPEGCenterCrop", "SubJPEGRandomResizedCrop"]


def __getattr__(name: str) -> Any:
    """Imports the decoders on first use, because their module, `loaders.integrations.ffcv`, imports this package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ...integrations import ffcv

    return getattr(ffcv, name)
