"""Runs probes in parallel: in local processes, or on a Ray cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from efficienttrain._loaders import CPUS_VARIABLE, available_processors, join_cluster
from efficienttrain.search.task import OUTPUT, RESULT

POLL = 0.05  # seconds
Result = dict[str, Any]
"""`score` and `seconds` of a probe, or its `error` in one line."""


class Executor(Protocol):
    """Runs probes that do not depend on each other."""

    def run(self, folders: Sequence[Path]) -> Generator[tuple[Path, Result], None, None]:
        """Runs the probes of these folders; yields each when it ends. Closing the generator stops all probes."""
        ...


class Local:
    """Runs `workers` processes at a time on this machine."""

    def __init__(self, workers: int = 1, devices: Sequence[str] = ()) -> None:
        """devices: GPUs, in the form of CUDA_VISIBLE_DEVICES, assigned to the processes in turn; empty: each process
            sees all GPUs.

        Raises:
            ValueError: `workers` is less than 1.
        """
        if workers < 1:
            raise ValueError(f"`workers` must be at least 1, got {workers}.")
        share = str(max(1, available_processors() // workers))
        common = {"OMP_NUM_THREADS": share, **os.environ, CPUS_VARIABLE: share} if workers > 1 else dict(os.environ)
        self._environments = [
            common | ({"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]} if devices else {})
            for slot in range(workers)
        ]

    def run(self, folders: Sequence[Path]) -> Generator[tuple[Path, Result], None, None]:
        """See Executor."""
        waiting, running = deque(folders), dict[int, tuple[Path, subprocess.Popen[bytes]]]()
        try:
            while waiting or running:
                for slot, environment in enumerate(self._environments):
                    if waiting and slot not in running:
                        folder = waiting.popleft()
                        running[slot] = folder, start(folder, environment)
                for slot, (folder, process) in list(running.items()):
                    if process.poll() is not None:
                        del running[slot]
                        yield folder, collect(folder, process)
                time.sleep(POLL)
        finally:
            for _, process in running.values():
                with process:  # closes its standard input, and waits
                    process.kill()


class OnRay:
    """Runs tasks on a Ray cluster. All its machines need access to the search's folder, and this package installed."""

    def __init__(self, address: str | None = None, gpus: float = 0.0, cpus: int = 1) -> None:
        """Joins the cluster.

        Args:
            address: of the cluster; "auto": the cluster of this machine; None: a new cluster of only this machine.
            gpus: GPUs per probe; with a fraction, probes share a GPU.
            cpus: processors per probe; its loader and torch start this number of threads.

        Raises:
            ValueError: Ray is not installed, or there is no such cluster.
        """
        self._ray, self._gpus, self._cpus = join_cluster(address), gpus, cpus

    def run(self, folders: Sequence[Path]) -> Generator[tuple[Path, Result], None, None]:
        """See Executor."""
        task = self._ray.remote(num_gpus=self._gpus, num_cpus=self._cpus)(run_one)
        pending = {task.remote(folder.resolve()): folder for folder in folders}
        try:
            while pending:
                (ended,), _ = self._ray.wait(list(pending))
                yield pending[ended], self._ray.get(ended)
                del pending[ended]
        finally:
            for unfinished in pending:
                self._ray.cancel(unfinished, force=True)


def start(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a probe. Its standard input stays open as long as this process lives, see probe_process.py."""
    paths = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # modules of this process
    with open(folder / OUTPUT, "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "efficienttrain.search.probe_process", str(folder)],
            env={**environment, **paths},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def collect(folder: Path, process: subprocess.Popen[bytes]) -> Result:
    """The result of a probe, after waiting for its end."""
    status = process.wait()
    if process.stdin is not None:
        process.stdin.close()  # not earlier: closing it ends the probe
    if status == 0:
        found: Result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        return found
    said = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(said) if line.strip()), f"ended with status {status}")
    return {"error": f"{last.removeprefix('error: ')} (all it said: {folder / OUTPUT})"}


def run_one(folder: Path) -> Result:
    """Runs a whole probe, with the processors of this process's Ray task."""
    return collect(folder, start(folder, {**os.environ, CPUS_VARIABLE: str(available_processors())}))
