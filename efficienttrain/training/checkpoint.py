"""Checkpoints: written atomically, read without executing their contents; only the last few are kept."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from efficienttrain.atomic_file import atomic_write
from efficienttrain.torch_file import load_plain
from efficienttrain.training.distributed import Ranks

KEPT = 2
BEST = "best.pt"
_NAME = re.compile(r"step_(\d+)\.pt")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A training between two steps. Its file holds these fields as a dictionary."""

    identity: dict[str, Any]
    """All settings that determine the result, see `resolve.identity`."""
    step: int
    """Optimizer steps done."""
    stage: int
    """Number of the stage of the last step."""
    best: float | None
    """The best score so far; None: there was no evaluation."""
    target: dict[str, Any] | None = None
    """See `Objective.state`."""
    factor: int
    """Uses of each loaded sample, see `Layout.factor`."""
    buffer: int
    """Batches in the replay buffer."""
    micro: int | None = None
    """Samples of a micro-batch; None, in older files: to be fitted again."""
    log: int
    """Bytes of the log."""
    feed: dict[str, Any]
    """See `Feed.state_dict`."""
    learner: dict[str, Any]
    """See `TrainState.state_dict`."""


def save(folder: Path, state: Checkpoint, best: bool = False) -> Path:
    """Writes `step_NNNNNNNN.pt` atomically, and `best.pt` if it is the best so far; removes all but the last few."""
    path = place(folder, state.step)
    with atomic_write(path) as file:
        torch.save(vars(state), file)
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


def find(folder: Path, identity: dict[str, Any], ranks: Ranks) -> Checkpoint | None:
    """The checkpoint to resume a training from; None for a new training. Prints a warning for each damaged one.

    identity: all settings that determine the result, see `resolve.identity`.

    Raises:
        ValueError: the checkpoint belongs to another training, or the ranks find different checkpoints.
    """
    state = load_latest(folder, ranks.say)
    step = state.step if state else 0
    if ranks.largest(step) != -ranks.largest(-step):
        raise ValueError(
            f"all ranks must see the same checkpoints in {folder}; put it on a file system that they share."
        )
    if state is not None:
        check_identity(state.identity, identity, folder)
    return state


def load_latest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
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


def load(path: Path) -> Checkpoint:
    """Loads one checkpoint into RAM: tensors, numbers and texts only; no code in it is executed.

    It is not loaded onto the GPU: networks and optimizers copy their tensors there themselves. Adam's step count must
    stay in RAM; on the GPU the host would wait for it, once for each parameter and step.

    Raises:
        ValueError: it is damaged, or not a checkpoint of ours.
    """
    try:
        state = load_plain(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}); restore a copy of it, or remove it.") from error
    names = [field.name for field in fields(Checkpoint)]
    try:
        return Checkpoint(**{name: value for name, value in dict(state).items() if name in names})
    except (TypeError, ValueError):  # this is no dictionary, or fields are missing
        raise ValueError(f"{path} is not a checkpoint of this trainer; name another folder for the run.") from None


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
