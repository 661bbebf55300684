"""Who carries out the plan: torch (the reference), FFCV or DALI. Each is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sources import Dataset
    from ..transforms.pipeline import Pipeline
    from .base import Backend

__all__ = ["BACKENDS", "make_backend"]

BACKENDS = ("auto", "torch", "ffcv", "dali")


def make_backend(name: str, dataset: Dataset, pipeline: Pipeline, **options: Any) -> Backend:
    """The backend of that name.

    Args:
        name: one of BACKENDS.
        dataset, pipeline: where bytes come from, and what is done to pixels at the end.
        options: `train`, `seed`, `workers`, `prefetch`, `on_error`, `filter`, `max_level`, see `Loader`.

    Raises:
        LoaderError: the package that the backend drives is not installed; the message says what to install.
    """
    if name == "auto":
        from .auto import AutoBackend

        return AutoBackend(dataset, pipeline, **options)
    if name == "ffcv":
        from .ffcv import FFCVBackend

        return FFCVBackend(dataset, pipeline, **options)
    if name == "dali":
        from .dali import DALIBackend

        return DALIBackend(dataset, pipeline, **options)
    from .torch import TorchBackend

    return TorchBackend(dataset, pipeline, **options)
