"""The output of a run while it trains: a log of JSON lines, also sent to listeners, and a progress bar."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from efficienttrain._loaders import progress_bar
from efficienttrain.atomic_file import naming

LOG = "log.jsonl"
Listener = Callable[[str, int, Mapping[str, Any]], None]


class Logbook:
    """The log of a run. Lines are on disk when `write` returns. A resumed run removes lines after its checkpoint."""

    def __init__(self, folder: Path, size: int | None = None, listeners: Sequence[Listener] = ()) -> None:
        """Opens the log.

        Args:
            folder: of the run; created if it does not exist.
            size: bytes to keep, the value of `size` saved in a checkpoint; None: begin an empty log.
            listeners: called after each line with its kind, step and values.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / LOG
        self._file = open(self._path, "ab" if size is not None else "wb")  # noqa: SIM115
        if size is not None:
            self._file.truncate(size)
        self._listeners = listeners

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Adds a line: its kind ("train", "evaluate", ...), the optimizer steps done, and further values."""
        line = json.dumps({"kind": kind, "step": step, **values}, allow_nan=False)
        with naming(self._path):
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        for heard in self._listeners:
            heard(kind, step, values)

    @property
    def size(self) -> int:
        """Flushes the log to the disk and returns its size in bytes."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Closes the file."""
        with naming(self._path):
            self._file.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; a line truncated by a crash is left out.

    Raises:
        FileNotFoundError: there is no run.
    """
    lines = (folder / LOG).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


FORMAT = "{percentage:5.1f}% |{bar}| {elapsed}<{remaining} {postfix}"


class Progress:
    """A progress bar over the compute. The cost of a step changes with the stage, so steps would give a wrong ETA."""

    def __init__(self, show: bool, begun: float = 0.0) -> None:
        """begun: share of the compute already spent."""
        self._bar: Any = progress_bar(show, total=1.0, initial=begun, bar_format=FORMAT, smoothing=0.05)
        self._facts: dict[str, str] = {}

    def at(self, progress: float) -> None:
        """Sets the share of the compute spent."""
        self._bar.update(progress - self._bar.n)

    def show(self, **facts: str) -> None:
        """Shows these values after the bar, together with earlier ones."""
        self._facts.update(facts)
        self._bar.set_postfix_str(", ".join(f"{name} {value}" for name, value in self._facts.items()), refresh=False)

    def close(self) -> None:
        """Ends the bar at its present state."""
        self._bar.close()
