"""Progress of long operations: a progress bar on a terminal, a line every half minute in a redirected log."""

from __future__ import annotations

import sys
from typing import Any, TextIO

EVERY = 30.0
"""Seconds between two lines of a log. A shorter operation writes none."""


class _Lines:
    """A stream that writes each refresh of a tqdm bar as a separate line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if line := text.strip():
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(show: bool, **options: Any) -> Any:
    """A tqdm bar on standard error.

    Args:
        show: False: a bar that is not printed.
        options: of `tqdm.tqdm`.
    """
    from tqdm import tqdm

    if sys.stderr is not None and not sys.stderr.isatty():
        options |= {"file": _Lines(sys.stderr), "mininterval": EVERY, "maxinterval": EVERY, "delay": EVERY}
    return tqdm(disable=not show, **options)
