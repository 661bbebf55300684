"""The log: one JSON object a line; listeners (trackers, callbacks) receive each line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LOG = "log.jsonl"
Listener = Callable[[str, int, Mapping[str, Any]], None]


class Logbook:
    """Lines of a run. Each is on disk once `write` returns, and a resumed run removes lines after its checkpoint."""

    def __init__(self, folder: Path, size: int | None = None, listeners: Sequence[Listener] = ()) -> None:
        """Opens the log.

        Args:
            folder: of the run; made if need be.
            size: bytes to keep, as `size` gave them to a checkpoint; None: begin anew.
            listeners: called after each line with its kind, step and values.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / LOG, "ab" if size is not None else "wb")  # noqa: SIM115
        if size is not None:
            self._file.truncate(size)
        self._listeners = listeners

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Adds a line: its kind ("train", "evaluate", ...), the optimizer steps done, and further values."""
        line = json.dumps({"kind": kind, "step": step, **values}, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        for heard in self._listeners:
            heard(kind, step, values)

    @property
    def size(self) -> int:
        """Bytes of the log, made lasting."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that a crash cut short is left out.

    Raises:
        FileNotFoundError: there is no run.
    """
    lines = (folder / LOG).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
