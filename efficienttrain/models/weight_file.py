"""The weights in a file: a checkpoint of this package or of a public code base, a state dict, or safetensors."""

from __future__ import annotations

import argparse
import codecs
import pathlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efficienttrain.torch_file import load_plain

PLAIN, AVERAGED = ("model", "state_dict", "module"), ("model_ema", "state_dict_ema", "ema", "ema_state_dict")
"""Keys under which public checkpoints hold the weights, and their moving average."""
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DistributedDataParallel, AveragedModel and torch.compile add to every name."""
EXTRA = {"n_averaged"}
"""Entries of a state dict that are not weights: the counter of torch's AveragedModel."""


def _called(make: Any, module: str) -> Any:
    """A function of NumPy under the module name that is used in files of older or newer NumPy versions."""

    def made(*parts: Any) -> Any:
        return make(*parts)

    made.__module__, made.__name__, made.__qualname__ = module, make.__name__, make.__name__
    return made


_MAKERS = [np.float64(0.5).__reduce__()[0], np.zeros(1).__reduce__()[0]]  # of scalars and of arrays
ALLOWED: list[Any] = [
    argparse.Namespace,
    codecs.encode,  # of NumPy's bytes; torch 2.5 and later allow it themselves
    pathlib.PosixPath,
    np.dtype,
    np.ndarray,
    *{type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)},
    *(_called(make, f"numpy.{core}.multiarray") for make in _MAKERS for core in ("core", "_core")),
]
"""Types in public checkpoints other than weights: options and scores. Reading them executes no code."""


def read_weights(path: Path, average: bool = False) -> dict[str, Tensor]:
    """The weights in a file, by name; no code in it is executed.

    Args:
        path: a checkpoint of this package, `encoder.pt`, a state dict, a dictionary with one of the usual keys
            ("model", "state_dict", "model_ema", ...), or a `.safetensors` file.
        average: prefer the moving average if the file has both; otherwise the trained weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, holds no weights, or an object that is not allow-listed.
    """
    found = _loaded(path)
    if isinstance(found, Mapping) and "identity" in found:  # a checkpoint of this package
        trained = found["learner"]
        return _inner(trained["ema"] if average and trained.get("ema") else trained["model"])
    keys = (*AVERAGED, *PLAIN) if average else (*PLAIN, *AVERAGED)
    while isinstance(found, Mapping) and not _is_weights(found):
        key = next((key for key in keys if isinstance(found.get(key), Mapping)), None)
        if key is None:
            break
        found = found[key]
    if not isinstance(found, Mapping) or not _is_weights(found):
        raise ValueError(
            f"{path} holds no weights; give a checkpoint, or a state dict that torch or safetensors saved."
        )
    return _inner(found)


def read_target(path: Path) -> dict[str, Any] | None:
    """The objective of the network's training, see `Objective.state`; None if the file does not contain it.

    Raises:
        FileNotFoundError, ValueError: as `read_weights` does.
    """
    found = _loaded(path)
    target = found.get("target") if isinstance(found, Mapping) and "identity" in found else None
    return dict(target) if isinstance(target, Mapping) else None


def _loaded(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return _safetensors(path)
    torch.serialization.add_safe_globals(ALLOWED)
    try:
        return load_plain(path)
    except ValueError as error:
        raise ValueError(f"{path} holds no weights ({error}).") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError(f"{path} needs the package safetensors; pip install safetensors.") from None
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ValueError(f"{path} holds no weights ({error}).") from error


def _is_weights(found: Mapping[Any, Any]) -> bool:
    return bool(found) and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items())


def _inner(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefixes of wrappers; for a pre-training's autoencoder, those of the encoder."""
    made = {_unwrapped(name): value for name, value in found.items() if name not in EXTRA}
    encoder = {name.removeprefix("encoder."): value for name, value in made.items() if name.startswith("encoder.")}
    return encoder or made


def _unwrapped(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.removeprefix("module.").removeprefix("_orig_mod.")
    return name
