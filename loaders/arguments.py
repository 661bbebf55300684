"""Checks of arguments: each error gives the rule, the value received and, where it is not plain, the remedy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .sources import Dataset


def absolute(data: Any) -> Any:
    """A path that a change of the working directory does not move; URLs and objects as they are."""
    if not isinstance(data, str | os.PathLike):
        return data
    name = os.fspath(data)
    return name if "://" in name else os.path.abspath(os.path.expanduser(name))


def one_of(name: str, value: object, legal: tuple[object, ...]) -> None:
    """Raises ValueError unless `value` is one of `legal`."""
    if not any(value is one or (type(value) is type(one) and value == one) for one in legal):
        raise ValueError(f"`{name}` must be one of {', '.join(repr(v) for v in legal)}, got {value!r}.")


def at_least(name: str, value: int | None, least: int) -> None:
    """Raises ValueError if `value` is below `least`."""
    if value is not None and value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")


def indices_of(indices: ArrayLike | None, n: int) -> NDArray[np.int64] | None:
    """Sample indices [m]; a mask [n] of booleans names those that are True.

    Raises:
        ValueError: not a row of whole numbers, or a mask of another length.
    """
    if indices is None:
        return None
    array = np.asarray(indices)
    if array.dtype == np.bool_:
        if array.shape != (n,):
            raise ValueError(f"`indices` as a mask must be {n} booleans, got shape {list(array.shape)}.")
        return np.flatnonzero(array)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"`indices` must be a row of whole numbers, got {array.dtype} of shape {list(array.shape)}.")
    return array.astype(np.int64)


def weights_of(
    weights: ArrayLike | str | None, dataset: Dataset, indices: NDArray[np.int64] | None
) -> NDArray[np.float64] | None:
    """Sampling weights, one for each sample in use; "balanced": 1 / the number of samples of its class.

    Raises:
        ValueError: another word than "balanced".
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        one_of("weights", weights, ("balanced",))
        labels = dataset.labels(np.arange(len(dataset)) if indices is None else indices)
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return 1.0 / counts[classes]
    return np.asarray(weights, np.float64)
