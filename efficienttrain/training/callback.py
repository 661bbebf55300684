"""Callbacks for the events of our trainer, and the trackers based on them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from efficienttrain.atomic_file import atomic_write

if TYPE_CHECKING:
    from efficienttrain.training.config import Config, Result
    from efficienttrain.training.trainer import Trainer

TRACKERS = ("tensorboard", "wandb", "trackio")
SHOWN = ("loss", "lr", "rate", "stall", "grad_norm", "noise_scale", "top5", "f1_micro", "f1_macro", "mae", "rmse")
METRICS = ("top1", "map", "r2")
"""Metrics of the log that trackers draw, also at the stage's size and for the averaged weights."""
PROJECT = "efficienttrain"
STEP = "step"
"""Horizontal axis of Weights & Biases' charts: optimizer steps."""


class Callback:
    """Methods that the trainer calls; a subclass defines those it needs. All but `log` are called on every rank.

    `trainer` has `step`, `stage`, `recipe`, `schedule`, `train_state` (`model`, `ema`, `optimizer`), `ranks` and `out`.
    """

    def begin(self, trainer: Trainer) -> None:
        """Called before the first step, or before the first step after resuming."""

    def enter(self, trainer: Trainer) -> None:
        """Called when a stage has begun; the network has the stage's size."""

    def step(self, trainer: Trainer) -> None:
        """Called after each optimizer step."""

    def log(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Called on rank 0 after each line of the log; kind: "train", "evaluate", "layout" or "begin"."""

    def end(self, trainer: Trainer, result: Result) -> None:
        """Called when the training is complete."""

    def close(self) -> None:
        """Called when the training has ended, complete or not."""


class TensorBoard(Callback):
    """Scalars as TensorBoard events in the run's folder."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board: Any = SummaryWriter(str(folder / "tensorboard"))

    def log(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Adds the scalars of a line."""
        for name, value in scalars(kind, values).items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the file."""
        self._board.close()


class Tracked(Callback):
    """Scalars to Weights & Biases or Trackio, which share an interface. A resumed run continues the same curve."""

    def __init__(self, package: str, folder: Path) -> None:
        """package: "wandb" or "trackio". Their environment variables (WANDB_MODE, ...) apply."""
        self._package, self._folder = import_module(package), folder
        self._name, self._run = package, False

    def log(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Adds the scalars of a line; the first line begins the run."""
        if not self._run:
            self._open(values.get("identity") or {})
        if not (found := scalars(kind, values)):
            return
        if self._name == "wandb":  # its own step may not go back, as a run resumed from a checkpoint does
            self._package.log({**found, STEP: step})
        else:
            self._package.log(found, step=step)

    def close(self) -> None:
        """Finishes the run."""
        if self._run:
            self._package.finish()

    def _open(self, identity: Mapping[str, Any]) -> None:
        name = self._folder.resolve().name
        options: dict[str, Any] = {"project": PROJECT, "name": name, "config": dict(identity), "resume": "allow"}
        if self._name == "wandb":
            options |= {"id": self._identifier(), "dir": str(self._folder)}
        self._package.init(**options)
        if self._name == "wandb":
            self._package.define_metric(STEP)
            self._package.define_metric("*", step_metric=STEP)
        self._run = True

    def _identifier(self) -> str:
        """An identifier that stays the same when a run is interrupted and resumed."""
        place = self._folder / "wandb.id"
        if not place.exists():
            with atomic_write(place) as file:
                file.write(uuid4().hex[:12].encode())
        return place.read_text(encoding="utf-8")


def scalars(kind: str, values: Mapping[str, Any]) -> dict[str, float]:
    """The values of a log line that trackers draw: "train/loss" and so on."""
    names = [*SHOWN, *(form.format(name) for name in METRICS for form in ("{}", "{}_stage", "ema_{}"))]
    return {f"{kind}/{name}": values[name] for name in names if values.get(name) is not None}


def check_trackers(config: Config) -> None:
    """Checks that the packages of all requested trackers are installed.

    Raises:
        ValueError: an unknown tracker, or one whose package is not installed.
    """
    from importlib.util import find_spec

    for name in names(config.track):
        if name not in TRACKERS:
            raise ValueError(
                f"`track` must be names of {', '.join(TRACKERS)} with commas, or none, got {config.track!r}."
            )
        if name != "tensorboard" and find_spec(name) is None:
            raise ValueError(f"`track` asks for {name}, which is not installed; pip install {name}.")


def trackers(config: Config) -> Sequence[Callback]:
    """The trackers of a run; TensorBoard is left out if it is not installed."""
    made: list[Callback] = []
    folder = Path(config.out)
    for name in names(config.track):
        if name != "tensorboard":
            made.append(Tracked(name, folder))
            continue
        try:
            made.append(TensorBoard(folder))
        except ImportError:
            print("TensorBoard is not installed; the log is log.jsonl alone.", file=sys.stderr)
    return made


def names(track: str) -> list[str]:
    """The trackers in a value such as "tensorboard,wandb"."""
    return [] if track == "none" else [name.strip() for name in track.split(",")]
