"""Converters killed, crowded and starved: the final name holds a whole beton or none. Each function runs in a child."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from loaders import convert
from loaders.conversion import verify
from loaders.conversion.jobs import JOB_FILES
from loaders.conversion.transcode import Converted, Job, convert_job
from tests.robustness import files
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, NAMED, SURVIVED, Tally
from tests.robustness.watchdog import ROOT

SMALL = 260  # images
JOBS = -(-SMALL // JOB_FILES)
READ_ONLY, REMOUNT = 1, 32  # mount(2)


def kill(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """SIGKILL at a random moment of a conversion; the next run must end with the very bytes of an undisturbed one."""
    tally = Tally("converter killed")
    with tempfile.TemporaryDirectory() as place:
        photos, wanted, seconds = _prepared(Path(place), 2)
        tally.facts["seconds_undisturbed"] = round(seconds, 2)
        for number in range(tries):
            out = Path(place, "killed.beton")
            moment = float(draw(seed, number).uniform(0.05, 1.05)) * seconds
            process = _start(photos, out, 2)
            _passed(process, moment)
            process.kill()
            process.communicate()
            tally.add(*_resumed(photos, out, wanted, f"killed after {moment:.3f} s of {seconds:.2f}"))
            yield {"alive": number}
    yield tally.as_dict()


def worker(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """A worker of a conversion, a thread, dies at a random job: an error and no beton, and the next run goes on."""
    tally = Tally("converter's worker killed")
    with tempfile.TemporaryDirectory() as place:
        photos, wanted, _ = _prepared(Path(place), 2)
        for number in range(tries):
            out, dies = Path(place, "killed.beton"), int(draw(seed, number).integers(JOBS))
            try:
                with patch("loaders.conversion.jobs.convert_job", _dying(dies)):
                    convert(photos, out, workers=2)
                told = ""
            except _Killed as error:
                told = str(error)
            outcome, how = _resumed(photos, out, wanted, f"died at job {dies}")
            named = outcome == SURVIVED and told == str(dies)
            tally.add(NAMED if named else LOST, f"{how}; told {told!r}")
            yield {"alive": number}
    yield tally.as_dict()


class _Killed(BaseException):
    """What a worker dies of: nothing that the converter could expect."""


def _dying(at: int) -> Callable[[Job], Converted]:
    """`convert_job` that ends its worker once `at` jobs were begun."""
    begun = count()

    def convert_or_die(job: Job) -> Converted:
        if (number := next(begun)) == at:
            raise _Killed(number)
        return convert_job(job)

    return convert_or_die


def full_disk(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """A small tmpfs fills up; with room again, the same call goes on."""
    tally = Tally("disk full")
    with tempfile.TemporaryDirectory() as place:
        photos, wanted, _ = _prepared(Path(place), 1)
        disk = Path(place, "disk")
        disk.mkdir()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"none", os.fsencode(disk), b"tmpfs", 0, b"size=64k"):
            yield {**tally.as_dict(), "skipped": "mounting a tmpfs takes root"}
            return
        try:
            whole = Path(place, "whole.beton").stat().st_size
            for number in range(tries):
                out, size = disk / "x.beton", int(draw(seed, number).uniform(0.02, 1.6) * whole)
                _remount(libc, disk, size)
                process = _start(photos, out, 1)
                line = _last_line(process)
                if process.returncode and not ("no room" in line and str(out) in line):
                    tally.add(LOST, f"disk of {size} bytes: {line}")
                elif process.returncode and out.exists():
                    tally.add(LOST, f"disk of {size} bytes: {out.name} exists")
                else:
                    _remount(libc, disk, 20 * whole)
                    tally.add(*_resumed(photos, out, wanted, line))
                shutil.rmtree(out.with_name(out.name + ".partial"), ignore_errors=True)
                yield {"alive": number}
        finally:
            libc.umount2(os.fsencode(disk), 2)
    yield tally.as_dict()


def read_only(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """A target that may not be written: one line that names it, nothing left behind."""
    tally, libc = Tally("read-only target"), ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory() as place:
        photos, target = files.folder(Path(place)), Path(place, f"closed{seed}")
        target.mkdir(mode=0o555)
        root = os.getuid() == 0  # whom modes do not stop, but a file system does
        if root and libc.mount(b"none", os.fsencode(target), b"tmpfs", READ_ONLY, b"size=64k"):
            yield {**tally.as_dict(), "skipped": "root without the right to mount"}
            return
        try:
            for _ in range(tries):
                process = _start(photos, target / "x.beton", 1)
                line = _last_line(process)
                named = process.returncode and str(target) in line and not os.listdir(target)
                tally.add(NAMED if named else LOST, line)
        finally:
            if root:
                libc.umount2(os.fsencode(target), 2)
    yield tally.as_dict()


def crowd(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Two converters, then three, on one target: those that do not come first are told, and the beton is whole."""
    tally = Tally("two converters on one target")
    with tempfile.TemporaryDirectory() as place:
        photos, wanted, seconds = _prepared(Path(place), 1)
        for number in range(tries):
            out, rng = Path(place, "x.beton"), draw(seed, number)
            running = []
            for _ in range(2 + number % 2):
                running.append(_start(photos, out, 1))
                _passed(running[-1], float(rng.uniform(0, 1.1)) * seconds)
            lines = []
            for process in running:
                line = _last_line(process)
                if process.returncode:
                    lines.append(line)
            strange = [line for line in lines if "another converter is at work" not in line]
            if strange or len(lines) == len(running):
                tally.add(LOST, f"told: {lines}")
                out.unlink(missing_ok=True)
                shutil.rmtree(out.with_name(out.name + ".partial"), ignore_errors=True)
            else:
                tally.add(*_resumed(photos, out, wanted, "crowded"))
            yield {"alive": number}
    yield tally.as_dict()


def _prepared(place: Path, workers: int) -> tuple[Path, str, float]:
    """Photographs, the digest of their beton, and how long a process takes to make it."""
    photos = files.folder(place, 20, (120, 90))
    originals = sorted(photos.rglob("*.jpg"))
    for k in range(SMALL - len(originals)):
        path = originals[k % len(originals)]
        os.link(path, path.with_name(f"{path.stem}_{k:04d}.jpg"))
    whole = place / "whole.beton"
    start = time.perf_counter()
    process = _start(photos, whole, workers)
    if line := _last_line(process):
        raise RuntimeError(f"an undisturbed conversion failed: {line}")
    return photos, _digest(whole), time.perf_counter() - start


def _passed(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Lets so much time pass, less where the process ends before."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _start(photos: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "efficienttrain", "convert", str(photos), str(out), "--quiet"]
    command += ["--workers", str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _last_line(process: subprocess.Popen[bytes]) -> str:
    """What a converter said last, once it has ended."""
    _, told = process.communicate(timeout=120)
    return (told.decode(errors="replace").strip().splitlines() or [""])[-1]


def _resumed(photos: Path, out: Path, wanted: str, how: str) -> tuple[str, str]:
    """Survived where the final name holds nothing or the whole, and the next run makes the whole and leaves no more."""
    if out.exists() and _digest(out) != wanted:
        return LOST, f"{how}: {out.name} is not whole"
    busy = _holders(out)
    convert(photos, out, workers=1)
    whole, left = _digest(out) == wanted, [name for name in os.listdir(out.parent) if name.startswith(out.name + ".")]
    damaged = verify(out, workers=1) if whole else []
    out.unlink()
    if not whole or left or damaged or busy:
        return LOST, f"{how}: identical {whole}, left over {left}, damaged {damaged[:1]}, still at work {busy}"
    return SURVIVED, how


def _holders(out: Path) -> list[int]:
    """Processes that have a converter's working folder open, though it has ended."""
    working = os.fsencode(out.with_name(out.name + ".partial"))
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(fd) for fd in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(os.fsencode(link).startswith(working) for link in links):
            found.append(int(process.name))
    return found


def _remount(libc: ctypes.CDLL, disk: Path, size: int) -> None:
    if libc.mount(b"none", os.fsencode(disk), b"tmpfs", REMOUNT, b"size=%d" % size):
        raise OSError(ctypes.get_errno(), f"{disk}: cannot be resized")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
