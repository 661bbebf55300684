"""Contestants in processes of their own, rounds interleaved, one at work at a time; medians, ratios within rounds."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .contestant import Job

ROOT = Path(__file__).resolve().parents[__name__.count(".")]
"""The folder from which this package is imported: a checkout, or site-packages."""


class Missing(Exception):
    """The contestant's library is not installed here."""


class Failed(Exception):
    """The contestant could not be built, raised, died, or kept silent for too long."""


class Child:
    """A contestant's process. It exists stopped (SIGSTOP, its workers too) except during a request.

    So a loader that still fills its queues after a round takes no time from the next contestant. The
    child forms a process group of its own in our session: if we die, the kernel hangs it up, stopped or not.
    """

    def __init__(
        self,
        target: str,
        job: Job,
        *,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        log: Path,
        patience: float = 900.0,
    ) -> None:
        self.job, self._log, self._patience = job, log, patience
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [python, "-m", f"{__package__}.child"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                env={**os.environ, **(environment or {})},
            )
        try:
            self._ask({"target": target, "job": asdict(job)})
            self.ready: dict[str, Any] = self._answer()
        except BaseException:  # Ctrl-C while it starts, too
            self.close()
            raise

    def round(self, seconds: float) -> dict[str, Any]:
        """One timed round: images, seconds, memory, bytes (see child.py)."""
        os.killpg(self._process.pid, signal.SIGCONT)
        self._ask({"seconds": seconds})
        return self._answer()

    def close(self) -> None:
        """Ends the process and all its workers at once."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it never became a group, or is gone
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _ask(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail("its process ended")

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(self._patience):
                self._fail(f"no answer within {self._patience:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            self._fail("its process ended")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise Missing(answer["missing"])
        if "error" in answer:
            self._fail(answer["error"])
        self._stop()
        return answer

    def _stop(self) -> None:
        """Stops the group, and returns once every thread of the child has come to rest."""
        pid = self._process.pid
        os.killpg(pid, signal.SIGSTOP)
        found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if found is not None and found.si_code == os.CLD_STOPPED:
            os.waitid(os.P_PID, pid, os.WSTOPPED)  # taken off the list, so that the next stop is seen anew

    def _fail(self, why: str) -> None:
        self.close()
        tail = self._log.read_text(errors="replace").strip().splitlines()[-1:]
        said = f" (last line it wrote: {tail[0].strip()})" if tail and tail[0].strip() not in why else ""
        raise Failed(f"{self.job.name} at B={self.job.resolution}: {why}{said}")


def interleave(
    children: Sequence[Child],
    rounds: int,
    seconds: float,
    progress: Callable[[Child], object] = lambda _: None,
) -> list[list[dict[str, Any]]]:
    """`rounds` answers of each child, in the order A B C, B C A, C A B, ... after one round of warm-up each.

    Rotating the start keeps a machine that slowly gets faster or slower from favouring the first contestant.
    """
    for child in children:
        progress(child)
        child.round(min(seconds, 0.5))
    answers: list[list[dict[str, Any]]] = [[] for _ in children]
    for turn in range(rounds):
        for step in range(len(children)):
            which = (turn + step) % len(children)
            progress(children[which])
            answers[which].append(children[which].round(seconds))
    return answers


def summary(values: Iterable[float]) -> dict[str, float]:
    """Median and quartiles, `{"median", "q1", "q3"}`."""
    q1, median, q3 = np.quantile(np.asarray(list(values), dtype=float), (0.25, 0.5, 0.75))
    return {"median": float(median), "q1": float(q1), "q3": float(q3)}


def ratio(ours: Sequence[float], *theirs: Sequence[float]) -> dict[str, float]:
    """`ours` over the fastest of `theirs`, taken inside each round, then median and quartiles."""
    best = np.max(np.asarray(theirs, dtype=float), axis=0)
    return summary(np.asarray(ours, dtype=float) / best)
