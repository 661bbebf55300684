"""Checks of arguments: each error gives the rule, the value received and, if it is not plain, the remedy."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from .sources import Dataset
    from .transforms.pipeline import TransformPipeline


def absolute(data: Any) -> Any:
    """A path that a change of the working directory does not move; URLs and objects as they are."""
    if not isinstance(data, str | os.PathLike):
        return data
    name = os.fspath(data)
    return name if "://" in name else os.path.abspath(os.path.expanduser(name))


def check(arguments: Mapping[str, Any]) -> None:
    """Checks those arguments of `Loader` that do not depend on the data set.

    Raises:
        ValueError: an argument out of its range; the message says which range.
    """
    import torch

    from .transforms.pipeline import DTYPES, MEMORY_FORMATS

    choices: dict[str, tuple[object, ...]] = {
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
    given = {**arguments, "dtype": str(arguments["dtype"]).removeprefix("torch.")}
    for name, legal in choices.items():
        one_of(name, given[name], legal)
    for name, least in {"num_workers": 1, "prefetch_factor": 1, "max_level": 0, "views": 1}.items():
        at_least(name, given[name], least)
    if given["cache"] is not None and given["label_field"] not in (None, "label"):
        raise ValueError(f"`cache` is for image folders, whose labels are `label`, got {given['label_field']!r}.")
    for name, default in {"cache_dir": None, "cache_gb": 50}.items():
        if given["cache"] is not None and given[name] != default:
            raise ValueError(
                f"`{name}` is for data at a URL and has no effect on `cache`, got {given[name]!r}; leave it out: "
                "`cache` alone names the beton to be made."
            )
    check_ranks(given["rank"], given["world_size"])
    check_seed(operator.index(given["seed"]))
    if not 0 <= given["erase"] <= 1:
        raise ValueError(f"`erase` must be a probability, 0 to 1, got {given['erase']}.")
    device = torch.device(given["device"])
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f'`device` must be "cpu", or "cuda" where torch sees a GPU, got "{device}".')
    mean, std = given["mean"], given["std"]
    if len(mean) != 3 or len(std) != 3 or not all(s > 0 for s in std):
        raise ValueError(f"`mean` and `std` must be three numbers each, `std` positive, got {mean} and {std}.")


def pipeline_of(arguments: Mapping[str, Any]) -> TransformPipeline:
    """The batch transforms. Raises ValueError for settings that cannot be combined."""
    import torch

    from .transforms.pipeline import TransformPipeline, transforms_of

    names = ("memory_format", "augment_at", "augment_on", "erase")
    return TransformPipeline(
        dtype=str(arguments["dtype"]).removeprefix("torch."),
        mean=tuple(arguments["mean"]),
        std=tuple(arguments["std"]),
        device=torch.device(arguments["device"]),
        seed=operator.index(arguments["seed"]),
        filter=arguments["interpolation"] or "fourier",
        custom=transforms_of(arguments["transforms"]),
        **{name: arguments[name] for name in names},
    )


def geometry_of(arguments: Mapping[str, Any]) -> CropGeometry:
    """How images are cropped. Raises ValueError for a setting out of its range."""
    names = ("scale", "ratio", "hflip", "crop_pct", "crop_mode", "resize_size", "interpolation")
    fill = [min(255, max(0, round(255 * value))) for value in arguments["mean"]]
    return CropGeometry(**{name: arguments[name] for name in names}, fill=fill)


def sampling_of(arguments: Mapping[str, Any], source: Dataset) -> Sampling:
    """Which samples an epoch shows, and in which order. Raises ValueError for values that do not fit the data set."""
    shuffle = arguments["train"] if arguments["shuffle"] is None else arguments["shuffle"]
    chosen, window = indices_of(arguments["indices"], len(source)), window_of(len(source), source.image_bytes)
    if shuffle == "quasi" and source.together:
        source.together = window
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
