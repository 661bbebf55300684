"""Checkpoints: written atomically, read without executing their contents; only the last few are kept."""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from efficienttrain.atomic_file import atomic_write
from efficienttrain.torch_file import check_whole
from efficienttrain.training.distributed import Ranks

KEPT = 2
BEST = "best.pt"
_NAME = re.compile(r"step_(\d+)\.pt")


def save(folder: Path, step: int, state: dict[str, Any], best: bool = False) -> Path:
    """Writes `step_NNNNNNNN.pt` atomically, and `best.pt` if it is the best so far; removes all but the last few."""
    path = place(folder, step)
    with atomic_write(path) as file:
        torch.save(state, file)
        if best:  # written first, because the checkpoint refers to it
            file.flush()
            with open(file.name, "rb") as written, atomic_write(folder / BEST) as twin:
                shutil.copyfileobj(written, twin)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def place(folder: Path, step: int) -> Path:
    """Path of this step's checkpoint."""
    return folder / f"step_{step:08}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first, without `best.pt`."""
    return sorted(path for path in folder.glob("step_*.pt") if _NAME.fullmatch(path.name))


def find(folder: Path, identity: dict[str, Any], ranks: Ranks) -> dict[str, Any] | None:
    """The checkpoint to resume a training from; None for a new training. Prints a warning for each damaged one.

    identity: all settings that determine the result, see `resolve.identity`.

    Raises:
        ValueError: the checkpoint belongs to another training, or the ranks find different checkpoints.
    """
    state = load_latest(folder, ranks.say)
    step = state["step"] if state else 0
    if ranks.largest(step) != -ranks.largest(-step):
        raise ValueError(
            f"all ranks must see the same checkpoints in {folder}; put it on a file system that they share."
        )
    if state is not None:
        check_identity(state["identity"], identity, folder)
    return state


def load_latest(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest checkpoint that can be read; None if there is none.

    warn: called with a line of text for each newer checkpoint that cannot be read.

    Raises:
        ValueError: there are checkpoints, and none of them can be read.
    """
    newest_first = checkpoints(folder)[::-1]
    damaged: list[ValueError] = []
    for path in newest_first:
        try:
            state = load(path)
        except ValueError as error:
            damaged.append(error)
            continue
        for why in damaged:
            warn(f"Warning: {why} The training resumes from the older {path.name}; the steps since then are repeated.")
        return state
    if damaged:
        raise ValueError(f"none of the {len(damaged)} checkpoints in {folder} can be read; the last: {damaged[-1]}")
    return None


def load(path: Path) -> dict[str, Any]:
    """Loads one checkpoint into RAM: tensors, numbers and texts only; no code in it is executed.

    It is not loaded onto the GPU: networks and optimizers copy their tensors there themselves. Adam's step count must
    stay in RAM; on the GPU the host would wait for it, once for each parameter and step.

    Raises:
        ValueError: it is damaged, or not a checkpoint of ours.
    """
    try:
        check_whole(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole checkpoint ({(str(error) or 'empty').splitlines()[0]}); remove it."
        ) from error
    if not isinstance(state, dict) or "identity" not in state:
        raise ValueError(f"{path} is not a checkpoint of this trainer; name another folder for the run.")
    return state


def check_identity(saved: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    """Checks that a checkpoint belongs to this training.

    Raises:
        ValueError: it does not; the message names the first difference.
    """
    for key, value in ours.items():
        if saved.get(key) != value:  # an option that the checkpoint lacks counts as not given
            raise ValueError(
                f"{folder} holds a training with {key} = {saved.get(key)!r}, now it is {value!r}; "
                "name another folder with --out, or use the earlier settings."
            )
