"""Converters with several workers, killed ones, and what is left to go on with."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders.errors import BadDataset
from loaders.store import convert
from loaders.store.jobs import JOB_FILES

ROOT = Path(__file__).resolve().parents[3]
CONVERT = """
import sys
from loaders.store import convert
convert(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]), on_error="skip")
"""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def started(src: Path, out: Path, workers: int = 1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CONVERT, str(src), str(out), str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


def finished_jobs(out: Path) -> int:
    log = out.with_name(out.name + ".partial") / "journal"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def stopper(many: Path, job: int) -> Path:
    """Puts a pipe in the place of a file of that job: whoever reads it waits, for ever."""
    path = sorted(many.rglob("*.jpg"))[JOB_FILES * job + 5]
    path.unlink()
    os.mkfifo(path)
    return path


def opened_up(pipe: Path) -> None:
    """Puts an empty file in the place of a pipe; to a converter it looks unchanged."""
    stat = pipe.stat()
    pipe.unlink()
    pipe.touch()
    os.utime(pipe, ns=(stat.st_atime_ns, stat.st_mtime_ns))


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
    out, pipe = tmp_path / "killed.beton", stopper(many, jobs)
    process = started(many, out, workers)
    waited_for(lambda: (tmp_path / "killed.beton.partial" / "journal").exists() and finished_jobs(out) == jobs)
    killed(process)
    opened_up(pipe)
    assert not out.exists()
    convert(many, tmp_path / "whole.beton", workers=1, on_error="skip")
    summary = convert(many, out, workers=1, on_error="skip")
    assert (summary.images, len(summary.refused)) == (311, 1)
    assert digest(out) == digest(tmp_path / "whole.beton")
    assert not out.with_name("killed.beton.partial").exists()


def test_ctrl_c_stops_at_once(many: Path, tmp_path: Path) -> None:
    stopper(many, 2)  # a worker that would never come to an end
    command = [sys.executable, "-m", "tools", "convert", many, tmp_path / "x.beton", "--workers", "2", "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
    waited_for(lambda: finished_jobs(tmp_path / "x.beton") == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.decode() == f"stopped; run the same again to go on with {tmp_path / 'x.beton'}\n"
    assert finished_jobs(tmp_path / "x.beton") == 2


def test_other_settings_or_sources_do_not_continue(many: Path, tmp_path: Path) -> None:
    out, pipe = tmp_path / "x.beton", stopper(many, 2)
    process = started(many, out)
    waited_for(lambda: finished_jobs(out) == 2)
    killed(process)
    opened_up(pipe)
    with pytest.raises(BadDataset, match="differs in quality"):
        convert(many, out, quality=80, workers=1)
    with pytest.raises(BadDataset, match="differs in ratios"):
        convert(many, out, ratios=(1, 0.5), workers=1)
    os.utime(next(many.rglob("*.jpg")), ns=(1, 1))
    with pytest.raises(BadDataset, match="differs in sources"):
        convert(many, out, workers=1)
    assert convert(many, out, workers=1, restart=True, on_error="skip").images == 311
