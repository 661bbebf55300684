"""Converters with several workers, killed ones, and what is left to go on with."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.beton.stored_order import permutation
from loaders.conversion import ShardedConversion, convert, split_parts
from loaders.conversion.convert import Summary
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


class Killed(BaseException):
    """Stands for a SIGKILL: no code of the package catches it."""


@contextmanager
def dying(folder: Path, name: str, call: int) -> Iterator[None]:
    """A SIGKILL before the given call of a function of `os`, of those that come once `folder` names its result."""
    real, calls = getattr(os, name), count()

    def dying(*args: Any, **options: Any) -> Any:
        if (folder / "result").exists() and next(calls) == call:
            raise Killed
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        patched.setattr(os, name, dying)
        yield


@contextmanager
def nothing_done_again() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("loaders.conversion.jobs.convert_job", lambda _: pytest.fail("converted an image again"))
        patched.setattr("loaders.storage.files.upload", lambda *_: pytest.fail("sent the beton again"))
        yield


def test_killed_while_it_cleans_up_it_sees_the_result(dirty: Path, tmp_path: Path) -> None:
    """Until `result` itself is deleted. It is the last file but the journal, so the next moment is an ended run."""
    out, left = tmp_path / "x.beton", tmp_path / "x.beton.partial"
    convert(dirty, tmp_path / "whole.beton", workers=1, on_error="skip")
    last = {"journal", "result"}
    moments, left_over = 0, {*last, "beton"}
    while left_over > last:
        with dying(left, "unlink", moments):
            wanted = convert(dirty, out, workers=1, on_error="skip", restart=True)
        left_over, moments = set(os.listdir(left)), moments + 1
        assert digest(out) == digest(tmp_path / "whole.beton")
        reports: list[Summary] = []
        with nothing_done_again():
            found = convert(dirty, out, workers=1, on_error="skip", report=reports.append)
        wanted = convert(dirty, tmp_path / "again.beton", workers=1, on_error="skip")._replace(out=str(out))
        assert found == wanted and reports == [found] and len(found.refused) == 2
        assert digest(out) == digest(tmp_path / "whole.beton") and not left.exists()
    assert moments > 6 and left_over == last


def test_what_is_left_of_a_complete_target_is_no_other_work(jpeg_folder: Path, tmp_path: Path) -> None:
    src, out, left = jpeg_folder / "val", tmp_path / "x.beton", tmp_path / "x.beton.partial"
    with dying(left, "unlink", 3):
        convert(src, out, workers=1)
    convert(src, out, workers=1, quality=70)
    convert(src, tmp_path / "70.beton", workers=1, quality=70)
    assert digest(out) == digest(tmp_path / "70.beton") and not left.exists()
    with dying(left, "unlink", 3):
        convert(src, out, workers=1)
    out.write_bytes(bytes(out.stat().st_size))  # another file of the same size
    convert(src, out, workers=1)
    convert(src, tmp_path / "90.beton", workers=1)
    assert digest(out) == digest(tmp_path / "90.beton") and not left.exists()


def test_killed_before_the_new_name_it_is_not_the_result(jpeg_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    convert(jpeg_folder / "val", out, workers=1, quality=70)
    with dying(tmp_path / "x.beton.partial", "replace", 0):
        convert(jpeg_folder / "val", out, workers=1)
    with nothing_done_again():
        convert(jpeg_folder / "val", out, workers=1)
    convert(jpeg_folder / "val", tmp_path / "whole.beton", workers=1)
    assert digest(out) == digest(tmp_path / "whole.beton")


@pytest.mark.parametrize("moment", [0, 3, 8])
def test_a_remote_target_is_not_sent_again(jpeg_folder: Path, tmp_path: Path, moment: int) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    out, left = f"memory://killed/{moment}.beton", tmp_path / f"{moment}.beton.partial"
    with dying(left, "unlink", moment):
        convert(jpeg_folder / "val", out, workers=1, work_dir=tmp_path)
    with nothing_done_again():
        assert convert(jpeg_folder / "val", out, workers=1, work_dir=tmp_path).images == 6
    assert not left.exists()
    with dying(left, "unlink", moment):
        convert(jpeg_folder / "val", out, workers=1, work_dir=tmp_path)
    memory.pipe_file(f"/killed/{moment}.beton", memory.cat_file(f"/killed/{moment}.beton")[:-1])
    assert convert(jpeg_folder / "val", out, workers=1, work_dir=tmp_path).images == 6
    convert(jpeg_folder / "val", tmp_path / "whole.beton", workers=1)
    assert memory.cat_file(f"/killed/{moment}.beton") == (tmp_path / "whole.beton").read_bytes()


@pytest.mark.parametrize(("name", "call"), [("replace", 0), ("replace", 1), ("unlink", 2)])
def test_a_part_killed_before_or_after_its_report(jpeg_folder: Path, tmp_path: Path, name: str, call: int) -> None:
    """Before the part's name, its report's name, and while the folder is removed."""
    conversion, left = ShardedConversion(jpeg_folder / "val", tmp_path / "x.beton", 2), "x-00001-of-00002.beton.partial"
    with dying(tmp_path / left, name, call):
        conversion.part(1).convert(workers=1)
    with nothing_done_again():
        assert conversion.part(1).convert(workers=1).images == 3
    conversion.part(0).convert(workers=1)
    finished = conversion.finish()
    assert finished is not None and finished.images == 6
    assert not list(tmp_path.glob("*.partial"))


def test_a_part_that_was_cut_killed_while_it_cleans_up(beton: Path, tmp_path: Path) -> None:
    with dying(tmp_path / "x-00000-of-00002.beton.partial", "unlink", 2):
        split_parts(beton, str(tmp_path / "x.json"), 2, workers=1)
    assert len(split_parts(beton, str(tmp_path / "x.json"), 2, workers=1)) == 2
    assert not list(tmp_path.glob("*.partial"))
