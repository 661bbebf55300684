"""Checks of arguments: each error gives the rule, the value received and, unless it is obvious, the remedy."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .plan import CropGeometry, Sampling, window_of
from .plan.rng import check_seed
from .plugins import BACKENDS
from .processors import check_ranks
from .values import in_range, items, number, one_of, probability, torchs_name, whole

if TYPE_CHECKING:
    import torch

    from .sources import Dataset
    from .transforms.pipeline import TransformPipeline


def check(arguments: Mapping[str, Any]) -> None:
    """Checks those arguments of `Loader` that do not depend on the data set.

    Raises:
        ValueError: an argument out of its range; the message says which range.
    """
    from .transforms.pipeline import DTYPES, MEMORY_FORMATS

    choices: dict[str, tuple[object, ...]] = {
        "train": (True, False),
        "drop_last": (None, True, False),
        "dtype": tuple(DTYPES),
        "memory_format": tuple(MEMORY_FORMATS),
        "on_error": ("raise", "replace"),
        "shuffle": (None, True, False, "quasi"),
        "interpolation": (None, "fourier", "lanczos", "bicubic", "bilinear"),
        "collate": ("tuple", "dict"),
        "uneven": (None, "drop", "pad", "keep"),
        "augment_at": ("resolution", "base"),
        "augment_on": ("auto", "cpu", "device"),
    }
    BACKENDS.check(arguments["backend"])
    given = {**arguments, **{name: torchs_name(arguments[name]) for name in ("dtype", "memory_format")}}
    for name, legal in choices.items():
        one_of(name, given[name], legal)
    if given["num_workers"] is not None:
        in_range("num_workers", given["num_workers"], 1, 1024, "; None takes the processors at hand")
    if given["max_level"] is not None:
        in_range("max_level", given["max_level"], 0, 255)
    in_range("prefetch_factor", given["prefetch_factor"], 1, 1024)
    in_range("views", given["views"], 1, 1024)
    probability("erase", given["erase"])
    items("fields", [given["fields"]] if isinstance(given["fields"], str) else given["fields"], "names")
    for name in ("transforms", "classes"):
        if given[name] is not None:
            items(name, given[name], "transforms" if name == "transforms" else "names")
    if not (given["label_field"] is None or given["label_field"] is False or isinstance(given["label_field"], str)):
        raise ValueError(
            f"`label_field` must be the name of a stored field, False or None, got {given['label_field']!r}."
        )
    _check_caches(given)
    _check_effect(given)
    check_ranks(given["rank"], given["world_size"])
    if not whole(given["seed"]) and not isinstance(given["seed"], bool):
        raise ValueError(f"`seed` must be a whole number from 0 to 2**64 - 1, got {given['seed']!r}.")
    check_seed(operator.index(given["seed"]))
    _check_device(given["device"])
    _check_normalisation(given["mean"], given["std"])


def _check_caches(given: Mapping[str, Any]) -> None:
    """`cache` and arguments that conflict with it; `cache_dir` and `cache_gb`, for data at a URL."""
    if given["cache"] is not None and given["label_field"] not in (None, "label"):
        raise ValueError(f"`cache` is for image folders, whose labels are `label`, got {given['label_field']!r}.")
    for name in ("cache", "cache_dir"):
        if given[name] is not None and not isinstance(given[name], str | os.PathLike):
            raise ValueError(f"`{name}` must be a path, got {given[name]!r}.")
    if not (number(given["cache_gb"]) and 0 < given["cache_gb"] < 1e9):
        raise ValueError(f"`cache_gb` must be a positive number of GB, got {given['cache_gb']!r}.")
    for name, default in {"cache_dir": None, "cache_gb": 50}.items():
        if given["cache"] is not None and given[name] != default:
            raise ValueError(
                f"`{name}` is for data at a URL and has no effect on `cache`, got {given[name]!r}; leave it out: "
                "`cache` alone names the beton to be made."
            )


def _check_effect(given: Mapping[str, Any]) -> None:
    """Refuses arguments that have no effect together with others."""
    if given["transforms"] is not None:
        for name, usual in {"dtype": ("float32", "uint8"), "memory_format": ("contiguous",), "erase": (0,)}.items():
            if given[name] not in usual:
                raise ValueError(
                    f"`{name}` has no effect on `transforms`, which get 8-bit images and decide what becomes of them, "
                    f"got {given[name]!r}; leave it out, and add a transform that does it."
                )
    if given["weights"] is not None and given["shuffle"] in (False, "quasi"):
        raise ValueError(
            f"`weights` draw samples at random, which `shuffle` {given['shuffle']!r} contradicts; leave one out."
        )


def _check_device(device: Any) -> None:
    import torch

    try:
        found = torch.device(device)
    except (TypeError, ValueError, RuntimeError):  # torch does not know this kind of device
        found = None
    if found is None or found.type not in ("cpu", "cuda") or (found.type == "cuda" and not torch.cuda.is_available()):
        more = '; for another device, pass "cpu" and move the batches: `images.to(device)`'
        raise ValueError(
            f'`device` must be "cpu", or "cuda" if torch sees a GPU, got {str(device)!r}'
            f"{'' if found is None or found.type in ('cpu', 'cuda') else more}."
        )
    if found.type == "cuda" and (found.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(f"`device` must be one of the {count} GPUs here, from 0, got {str(device)!r}.")


def device_of(device: str | torch.device) -> torch.device:
    """The device, with its number: "cuda" is torch's current GPU at the time when the loader is made."""
    import torch

    found = torch.device(device)
    return torch.device("cuda", torch.cuda.current_device()) if str(found) == "cuda" else found


def _check_normalisation(mean: Any, std: Any) -> None:
    for name, values in (("mean", mean), ("std", std)):
        three = items(name, values, "three numbers, for R, G and B")
        if len(three) != 3 or not all(number(value) and math.isfinite(value) for value in three):
            raise ValueError(f"`{name}` must be three numbers, for R, G and B, got {values!r}.")
        if not (all(0 <= value <= 1 for value in three) if name == "mean" else min(three) > 0):
            rule = "from 0 to 1, as pixels are (values for 0 to 255: divide by 255)" if name == "mean" else "positive"
            raise ValueError(f"`{name}` must be {rule}, got {values!r}.")


def pipeline_of(arguments: Mapping[str, Any]) -> TransformPipeline:
    """The batch transforms. Raises ValueError for settings that cannot be combined."""
    from .transforms.pipeline import TransformPipeline, transforms_of

    names = ("augment_at", "augment_on", "erase")
    return TransformPipeline(
        dtype=torchs_name(arguments["dtype"]),
        memory_format=torchs_name(arguments["memory_format"]),
        mean=tuple(arguments["mean"]),
        std=tuple(arguments["std"]),
        device=device_of(arguments["device"]),
        seed=operator.index(arguments["seed"]),
        filter=arguments["interpolation"] or "fourier",
        custom=transforms_of(arguments["transforms"]),
        **{name: arguments[name] for name in names},
    )


def geometry_of(arguments: Mapping[str, Any]) -> CropGeometry:
    """How images are cropped. Raises ValueError for a setting out of its range."""
    names = ("scale", "ratio", "hflip", "crop_pct", "crop_mode", "resize_size", "interpolation")
    fill = [min(255, max(0, round(255 * value))) for value in arguments["mean"]]
    return CropGeometry(**{name: arguments[name] for name in names}, fill=fill, resize_at=arguments["resolution"])


def sampling_of(arguments: Mapping[str, Any], source: Dataset) -> Sampling:
    """Which samples an epoch shows, and in which order. Raises ValueError for values that do not fit the data set."""
    shuffle = arguments["train"] if arguments["shuffle"] is None else arguments["shuffle"]
    chosen, window = indices_of(arguments["indices"], len(source)), window_of(len(source), source.image_bytes)
    return Sampling(
        n=len(source),
        seed=operator.index(arguments["seed"]),
        kind={True: "random", False: "sequential", "quasi": "quasi"}[shuffle],
        indices=chosen,
        weights=weights_of(arguments["weights"], source, chosen),
        repeats=arguments["aug_repeats"],
        window=window,
        storage=source.storage,
    )


def indices_of(indices: ArrayLike | None, n: int) -> NDArray[np.int64] | None:
    """Sample indices [m]; a mask [n] of booleans names those that are True.

    Raises:
        ValueError: not a list of whole numbers, or a mask of another length.
    """
    if indices is None:
        return None
    array = np.asarray(indices)
    if array.dtype == np.bool_:
        if array.shape != (n,):
            raise ValueError(f"`indices` as a mask must be {n} booleans, got shape {list(array.shape)}.")
        return np.flatnonzero(array)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"`indices` must be a list of whole numbers, got {array.dtype} of shape {list(array.shape)}.")
    return array.astype(np.int64)


def weights_of(
    weights: ArrayLike | str | None, dataset: Dataset, indices: NDArray[np.int64] | None
) -> NDArray[np.float64] | None:
    """Sampling weights, one for each sample in use; "balanced": 1 / the number of samples of its class.

    Raises:
        ValueError: not numbers, another word than "balanced", or no class labels to balance.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        one_of("weights", weights, ("balanced",))
        if dataset.label_field is None:
            raise ValueError(
                f"{dataset.path}: `weights` must be numbers, one per sample: it has no class label to balance."
            )
        labels = dataset.labels(np.arange(len(dataset)) if indices is None else indices)
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return 1.0 / counts[classes]
    try:
        return np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"`weights` must be numbers, one per sample, or 'balanced', got {weights!r}.") from None
