"""Runs a case in a process of its own and watches it: its crash or silence is a finding, never the suite's end."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds without a line that count as a hang


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
    target: str, patience: float = PATIENCE, env: dict[str, str] | None = None, **arguments: Any
) -> Iterator[dict[str, Any]]:
    """What `target`, a generator "module:function", yields in a process of its own.

    Args:
        patience: seconds without a word after which it is killed, with all that it started.
        env: variables for it alone.

    Raises:
        Ended: it hung, crashed or raised.
    """
    command = [sys.executable, "-m", "benchmarks.faults.child", target, json.dumps(arguments)]
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
            alive = yield from _lines(child, patience)
        finally:
            _kill(child)
        log.seek(0)
        told = log.read().decode(errors="replace")[-4000:].strip()
    if not alive:
        raise Ended("hang", f"silent for {patience:.0f} s\n{told}".strip())
    if child.returncode:
        crashed = child.returncode < 0 or "Sanitizer" in told or "runtime error" in told
        raise Ended("crash" if crashed else "error", told or f"ended with {child.returncode}")


def _lines(child: subprocess.Popen[bytes], patience: float) -> Generator[dict[str, Any], None, bool]:
    """Its lines until it closes stdout; returns whether it did so in time."""
    assert child.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while selector.select(patience):
            block = os.read(child.stdout.fileno(), 1 << 16)
            if not block:
                try:
                    child.wait(patience)
                except subprocess.TimeoutExpired:
                    return False
                return True
            *lines, rest = (rest + block).split(b"\n")
            yield from map(json.loads, lines)
    return False


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()
