"""Converters with several workers, killed ones, and what is left to go on with."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from loaders.beton.stored_order import permutation
from loaders.conversion import convert
from loaders.conversion.jobs import JOB_FILES
from loaders.errors import BadDataset

ROOT = Path(__file__).resolve().parents[3]
CONVERT = """
import os, sys, time
from loaders.conversion import transcode as source
from tools.__main__ import main

read_image = source.read_image

def waiting(sample):
    while os.path.exists(sample.image.path + ".stop"):
        time.sleep(0.01)
    return read_image(sample)

source.read_image = waiting
sys.exit(main(["convert", *sys.argv[1:], "--quiet"]))
"""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def started(src: Path, out: Path, workers: int = 1, **options: bool) -> subprocess.Popen[bytes]:
    """A converter in a process of its own that waits, for ever, at a file with a stopper."""
    command = [sys.executable, "-c", CONVERT, str(src), str(out), "--workers", str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, **options)


def finished_jobs(out: Path) -> int:
    log = out.with_name(out.name + ".partial") / "journal"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def stopper(many: Path, job: int) -> Path:
    """Holds a converter up at a file of that job until it is unlinked."""
    files = sorted(many.rglob("*.jpg"))
    path = files[permutation(len(files))(np.array([JOB_FILES * job + 5]))[0]]
    stop = path.with_name(path.name + ".stop")
    stop.touch()
    return stop


def waited_for(what: Callable[[], object]) -> None:
    for _ in range(6000):
        if what():
            return
        time.sleep(0.01)
    pytest.fail("did not happen in a minute")


def killed(process: subprocess.Popen[bytes]) -> None:
    """Kills a converter as `kill -9` does."""
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_any_number_of_workers_gives_the_same_bytes(many: Path, tmp_path: Path) -> None:
    for workers in (1, 2, 3):
        convert(many, tmp_path / f"{workers}.beton", workers=workers)
    assert digest(tmp_path / "1.beton") == digest(tmp_path / "2.beton") == digest(tmp_path / "3.beton")


@pytest.mark.parametrize(("workers", "jobs"), [(1, 0), (1, 4), (2, 1), (2, 9)])
def test_killed_and_run_again_gives_the_same_bytes(many: Path, tmp_path: Path, workers: int, jobs: int) -> None:
    out, stop = tmp_path / "killed.beton", stopper(many, jobs)
    process = started(many, out, workers)
    waited_for(lambda: (tmp_path / "killed.beton.partial" / "journal").exists() and finished_jobs(out) == jobs)
    killed(process)
    stop.unlink()
    assert not out.exists()
    convert(many, tmp_path / "whole.beton", workers=1)
    assert convert(many, out, workers=1).images == 312
    assert digest(out) == digest(tmp_path / "whole.beton")
    assert not out.with_name("killed.beton.partial").exists()


def test_ctrl_c_stops_at_once(many: Path, tmp_path: Path) -> None:
    stopper(many, 2)  # a worker that would never come to an end
    process = started(many, tmp_path / "x.beton", 2, start_new_session=True)
    waited_for(lambda: finished_jobs(tmp_path / "x.beton") == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.decode() == f"stopped by Ctrl-C; the same command resumes {tmp_path / 'x.beton'}\n"
    assert finished_jobs(tmp_path / "x.beton") == 2


def test_other_settings_versions_or_sources_do_not_continue(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, stop = tmp_path / "x.beton", stopper(many, 2)
    process = started(many, out)
    waited_for(lambda: finished_jobs(out) == 2)
    killed(process)
    stop.unlink()
    with pytest.raises(BadDataset, match="differs in quality"):
        convert(many, out, quality=80, workers=1)
    with pytest.raises(BadDataset, match="differs in ratios"):
        convert(many, out, ratios=(1, 0.5), workers=1)
    with monkeypatch.context() as other_version:
        convert_module = importlib.import_module("loaders.conversion.convert")
        other_version.setattr(convert_module, "FORMAT", "efficienttrain ladder 1")
        other_version.setattr(convert_module, "JOB_FILES", 2 * JOB_FILES)
        with pytest.raises(BadDataset, match="differs in format, job;"):
            convert(many, out, workers=1)
    os.utime(next(many.rglob("*.jpg")), ns=(1, 1))
    with pytest.raises(BadDataset, match="differs in sources"):
        convert(many, out, workers=1)
    assert convert(many, out, workers=1, restart=True).images == 312
