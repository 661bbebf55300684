"""What happened, one JSON object a line, and as TensorBoard events where that is installed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

LOG = "log.jsonl"
SHOWN = ("loss", "lr", "rate", "stall", "top1", "top5", "top1_stage", "ema_top1")


class Logbook:
    """Lines of a run. Each is on disk once `write` returns, and a resumed run cuts off what a crash left behind."""

    def __init__(self, folder: Path, size: int | None = None) -> None:
        """Opens the log.

        Args:
            folder: of the run; made if need be.
            size: bytes to keep, as `size` gave them to a checkpoint; None: begin anew.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / LOG, "ab" if size is not None else "wb")  # noqa: SIM115
        if size is not None:
            self._file.truncate(size)
        self._board = _board(folder)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Adds a line: its kind ("train", "evaluate", ...), the optimizer steps done, and what else there is."""
        line = json.dumps({"kind": kind, "step": step, **values}, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if self._board is not None:
            for name in SHOWN:
                if name in values:
                    self._board.add_scalar(f"{kind}/{name}", values[name], step)

    @property
    def size(self) -> int:
        """Bytes of the log, made lasting."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that a crash cut short is left out.

    Raises:
        FileNotFoundError: there is no run.
    """
    lines = (folder / LOG).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print(f"TensorBoard is not installed; the log is {folder / LOG} alone.", file=sys.stderr)
        return None
    return SummaryWriter(str(folder / "tensorboard"))
