"""Who carries out the plan: torch (the reference), FFCV or DALI. Each is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loaders.backends.base import Backend
    from loaders.backends.finish import Finish
    from loaders.store import Store

__all__ = ["BACKENDS", "make_backend"]

BACKENDS = ("auto", "torch", "ffcv", "dali")


def make_backend(name: str, store: Store, finish: Finish, **options: Any) -> Backend:
    """The backend of that name.

    Args:
        name: one of BACKENDS.
        store, finish: where bytes come from, and what is done to pixels at the end.
        options: `train`, `seed`, `workers`, `prefetch`, `on_error`, `filter`, `max_level`, see `Loader`.

    Raises:
        LoaderError: the package that the backend drives is not installed; the message says what to install.
    """
    if name == "auto":
        from loaders.backends.auto import AutoBackend

        return AutoBackend(store, finish, **options)
    if name == "ffcv":
        from loaders.backends.ffcv import FFCVBackend

        return FFCVBackend(store, finish, **options)
    if name == "dali":
        from loaders.backends.dali import DALIBackend

        return DALIBackend(store, finish, **options)
    from loaders.backends.torch import TorchBackend

    return TorchBackend(store, finish, **options)
