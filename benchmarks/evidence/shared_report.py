"""A report that several processes fill together: each one reads it again before it adds its part."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..harness.report import write_json

Report = dict[str, Any]


class SharedReport:
    """The report of `--json`, or of this process alone."""

    def __init__(self, fresh: Report, path: str | None, finish: Callable[[Report], Report]) -> None:
        """Opens it.

        Args:
            fresh: the report without any part; its `benchmark` and `settings` must be those of the file.
            path: of the JSON; None: no file.
            finish: computes the results from the parts, each time that it is written.

        Raises:
            ValueError: the file is another benchmark's, or has other settings.
        """
        self._fresh, self._path, self._finish, self._held = fresh, path, finish, fresh
        self.read()

    def read(self) -> Report:
        """The report with all parts so far."""
        if self._path is None or not Path(self._path).exists():
            return self._held
        found, wanted = json.loads(Path(self._path).read_text()), self._fresh["settings"]
        other = sorted(key for key in wanted if found.get("settings", {}).get(key) != wanted[key])
        if found.get("benchmark") != self._fresh["benchmark"] or other:
            raise ValueError(
                f"`--json` must be a new file, or a report of the same settings to be continued; {self._path} differs "
                f"in {', '.join(other) or 'its benchmark'}."
            )
        return {**self._fresh, **found}

    def add(self, kind: str, part: dict[str, Any], keys: Sequence[str], lock: Path) -> None:
        """Adds a part to the list `kind`, in place of one with the same `keys`; lock: a file, the same for all."""
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            report = self.read()
            others = [each for each in report[kind] if any(each[key] != part[key] for key in keys)]
            self._held = self._finish({**report, kind: [*others, part]})
            if self._path is not None:
                write_json(self._path, self._held)


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Holds the lock file `path` for the block; yields False if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
