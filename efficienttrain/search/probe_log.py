"""The log of a search, journal.jsonl: a JSON object per line, on disk before the search continues; and its live table.

The first line has the search's settings, each further line a finished probe, the last line the result. Resuming and
drawing need only the log.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from efficienttrain.atomic_file import sync
from efficienttrain.search.algorithms import Cost

LOG = "journal.jsonl"
Line = dict[str, Any]


class ProbeLog:
    """A log, open for appending. A last line that was truncated by a crash is removed."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        """Begins the log, or continues one of the same search.

        Args:
            folder: of the search; created if it does not exist.
            settings: all settings that determine its result, as JSON values.

        Raises:
            ValueError: the folder holds another search or other files, or another search is running in it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / LOG
        self._file = open(self.path, "ab+")  # noqa: SIM115
        try:
            self._lock()
            self._file.seek(0)
            content = self._file.read()
            self.lines = parse(content, self.path)
            self._file.truncate(content.rfind(b"\n") + 1)
            if not self.lines:
                self._append({"kind": "begin", **settings})
                sync(folder)
            self._check(settings)
        except BaseException:
            self._file.close()
            raise

    def probe(self, key: str, **facts: Any) -> None:
        """Adds a finished probe."""
        self._append({"kind": "probe", "key": key, **facts})

    def found(self, choices: Any) -> None:
        """Adds the search's result, unless it is already in the log."""
        if self.lines[-1]["kind"] != "found":
            self._append({"kind": "found", "choices": choices})

    @property
    def scores(self) -> dict[str, float]:
        """Scores of the finished probes."""
        return {line["key"]: line["score"] for line in self.lines if line["kind"] == "probe"}

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.path} is in use by a search that runs; wait for it, or stop it.") from None

    def _append(self, line: Line) -> None:
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.lines.append(json.loads(json.dumps(line)))

    def _check(self, settings: dict[str, Any]) -> None:
        begun = self.lines[0]
        for name, value in json.loads(json.dumps(settings)).items():
            if begun.get(name) != value:
                raise ValueError(
                    f"{self.path} is of a search with {name} = {begun.get(name)!r}, now it is {value!r}; "
                    "name another folder with --out, or use the earlier settings."
                )

    def __enter__(self) -> ProbeLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read(folder: Path) -> list[Line]:
    """The lines of a search's log, without a truncated last line.

    Raises:
        FileNotFoundError: there is no log.
        ValueError: it is not a log.
    """
    return parse((folder / LOG).read_bytes(), folder / LOG)


def parse(content: bytes, path: Path) -> list[Line]:
    """The complete lines of a log."""
    try:
        lines: list[Line] = [json.loads(line) for line in content.split(b"\n")[:-1]]
        kinds = [line["kind"] for line in lines]
    except (ValueError, TypeError, KeyError):
        kinds = ["damaged"]
    if kinds and kinds[0] != "begin":
        raise ValueError(f"{path} is not the log of a search; name another folder with --out.")
    return lines


HEAD = f"{'probe':>5}{'stage':>7}{'compute':>9}{'seconds':>9}{'score':>10}   curriculum (B, M)"
FORMAT = "{desc} {elapsed}"


class Table:
    """Prints a line for each finished probe."""

    def __init__(self, most: Cost, show: bool = True) -> None:
        """most: upper bound of the search's cost; show: print a line with the progress, on a terminal."""
        self._most, self._number, self._spent = most, 0, 0.0
        self._bar: Any = tqdm(bar_format=FORMAT, disable=None if show else True)
        self._bar.write(HEAD)

    def add(self, probe: Line) -> None:
        """Adds a finished probe."""
        self._number += 1
        self._spent += probe["compute"]
        stage = "-" if probe["stage"] is None else probe["stage"] + 1
        stages = "  ".join(f"{resolution} {magnitude:.3g}" for resolution, magnitude in probe["choices"])
        self._bar.write(
            f"{self._number:5}{stage:>7}{probe['compute']:9.3f}{probe['seconds']:9.1f}{probe['score']:10.4f}   {stages}"
        )
        self._bar.set_description_str(
            f"{self._number} of at most {self._most.probes} probes, compute {self._spent:.3g} of at most "
            f"{self._most.compute:.3g} whole trainings,"
        )

    def close(self) -> None:
        """Ends the table at its present state."""
        self._bar.close()
