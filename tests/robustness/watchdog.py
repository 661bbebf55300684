"""Runs a case in its own process and watches it. A crash or a hang is recorded; the suite continues.

The parent starts `python -m tests.robustness.watchdog MODULE:FUNCTION '{"argument": ...}'`. The child calls the
function, which yields dictionaries, and writes each as a line of JSON to stdout. A line is a sign of life: the parent
kills a child that stays silent for too long. Output of libraries goes to stderr.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds without a line that count as a hang
LIMIT = 300.0  # seconds that a case may take in all, however lively
DIE_WITH_PARENT = 1  # prctl(2)


class Ended(Exception):
    """The case did not come to its end by itself.

    Attributes:
        how: "hang", "crash" (a signal, or a sanitizer's finding) or "error" (a Python exception).
        told: the last lines that it wrote to stderr.
    """

    def __init__(self, how: str, told: str) -> None:
        super().__init__(f"{how}: {told.splitlines()[-1] if told else ''}")
        self.how, self.told = how, told


def watch(
    target: str,
    patience: float = PATIENCE,
    limit: float = LIMIT,
    env: dict[str, str] | None = None,
    **arguments: Any,
) -> Iterator[dict[str, Any]]:
    """What `target`, a generator "module:function", yields in a process of its own.

    Args:
        patience: seconds without a word after which it is killed, with all that it started.
        limit: seconds in all after which it is, too.
        env: variables for it alone.

    Raises:
        Ended: it hung, crashed or raised.
    """
    command = [sys.executable, "-m", "tests.robustness.watchdog", target, json.dumps(arguments)]
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            silence = yield from _lines(child, patience, time.monotonic() + limit)
        finally:
            _kill(child)
        log.seek(0)
        told = log.read().decode(errors="replace")[-4000:].strip()
    if silence:
        raise Ended("hang", f"{silence}\n{told}".strip())
    if child.returncode:
        crashed = child.returncode < 0 or "Sanitizer" in told or "runtime error" in told
        raise Ended("crash" if crashed else "error", told or f"ended with {child.returncode}")


def _lines(child: subprocess.Popen[bytes], patience: float, end: float) -> Generator[dict[str, Any], None, str]:
    """Its lines until it closes stdout; returns how it was too slow to do so, or ""."""
    assert child.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            if not selector.select(min(patience, left)):
                if left > patience:
                    return f"silent for {patience:.0f} s"
                break
            block = os.read(child.stdout.fileno(), 1 << 16)
            if not block:
                try:
                    child.wait(patience)
                except subprocess.TimeoutExpired:
                    return f"stdout closed, alive {patience:.0f} s later"
                return ""
            *lines, rest = (rest + block).split(b"\n")
            yield from map(json.loads, lines)
    return "its time is over, though it gave signs of life"


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # what it started may outlive it
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def main() -> int:
    """The child's side."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, function = sys.argv[1].partition(":")
    for reply in getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2])):
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
