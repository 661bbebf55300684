"""Faults while reading: a failing disk, little memory, forks, many cycles. Each function runs in a child."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import procfs
from loaders import Loader
from loaders.errors import LoaderError
from tests.robustness import files
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, NAMED, OURS, SURVIVED, Tally

MODES = {"errors": 1, "slow reads": 2, "short reads": 3, "interrupted reads": 4}  # as in failing_disk.c
SETTLES = {"dali": 100}  # loaders until memory is flat: with DALI it grows by some megabytes in the first hundred
OPTIONS: dict[str, Any] = {"batch_size": 4, "resolution": files.SIDE, "train": False, "dtype": "uint8"}


def build_shim(place: Path) -> Path | None:
    """The preloaded library; None where there is no C compiler."""
    out = place / "shim.so"
    source = Path(__file__).with_name("failing_disk.c")
    try:
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", out, source, "-ldl"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return out


def disk(seed: int, tries: int, backend: str = "torch") -> Iterator[dict[str, Any]]:
    """Runs with shim.so preloaded: some reads fail, are slow, short or interrupted."""
    shim = ctypes.CDLL(None)
    with tempfile.TemporaryDirectory() as place:
        path = files.pyramid(Path(place))
        wanted = [files.pixels(path, way)[0] for way in {backend, "torch"}]  # the kernel takes over where DALI cannot
        for name, mode in MODES.items():
            tally, hits = Tally(f"disk with {name}", OURS[backend]), 0
            for number in range(tries):
                # Every read may be short; were every one interrupted, none would ever be done, not by Python either.
                nth = int(draw(seed, mode << 32 | number).integers(1 if mode == 3 else 2, 40))
                strict = number % 2 == 0
                with _armed(shim, mode, nth):
                    tally.add(*_under_faults(path, backend, wanted, strict, failing=mode == 1, nth=nth))
                hits += shim.shim_hits()
                yield {"alive": number}
            tally.facts["reads_hit"] = hits
            yield tally.as_dict()


def _under_faults(
    path: Path, backend: str, wanted: list[NDArray[np.uint8]], strict: bool, failing: bool, nth: int
) -> tuple[str, str]:
    on_error = "raise" if strict else "replace"
    how = f"every {nth}th read, on_error={on_error}"
    try:
        with Loader(path, backend=backend, num_workers=2, drop_last=False, on_error=on_error, **OPTIONS) as loader:
            batches = list(loader)
            bad = {error.index: error for error in loader.stats()["bad"]}
    except LoaderError as error:
        text = str(error)
        named = failing and (str(path) in text or "sample " in text) and "Input/output error" in text
        return (NAMED if named else LOST), f"{how}: {text}"
    images = np.concatenate([images.numpy() for images, _ in batches])
    if len(images) != len(wanted[0]):
        return LOST, f"{how}: {len(images)} samples instead of {len(wanted[0])}"
    right = np.logical_or.reduce([(images == pixels).all(axis=(1, 2, 3)) for pixels in wanted])
    if wrong := [k for k in np.flatnonzero(~right).tolist() if k not in bad]:
        return LOST, f"{how}: samples {wrong} have wrong pixels"
    if bad and not (failing and not strict and all("Input/output error" in error.why for error in bad.values())):
        return LOST, f"{how}: {next(iter(bad.values()))}"
    return (NAMED if bad else SURVIVED), how


@contextmanager
def _armed(shim: ctypes.CDLL, mode: int, nth: int) -> Iterator[None]:
    shim.shim_arm(mode, nth)
    try:
        yield
    finally:
        shim.shim_arm(0, 1)


def memory(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Address space for so many MB more: batches, or an error that says so; a crash would end this process."""
    tally = Tally("little memory")
    with tempfile.TemporaryDirectory() as place:
        path = files.pyramid(Path(place))
        files.pixels(path)  # everything imported, threads' first stacks made
        for number in range(tries):
            rng = draw(seed, number)
            spare, batch, side = (
                int(rng.integers(0, 160)) << 20,
                int(rng.choice([4, 24])),
                int(rng.choice([64, 224, 640])),
            )
            with _limited(spare):
                tally.add(*_with_little(path, batch, side, f"{spare >> 20} MB spare, batch {batch} of {side}"))
            yield {"alive": number}
    yield tally.as_dict()


def _with_little(path: Path, batch: int, side: int, how: str) -> tuple[str, str]:
    try:
        with Loader(path, batch_size=batch, resolution=side, train=False, num_workers=3, dtype="float32") as loader:
            return (SURVIVED if sum(len(images) for images, _ in loader) == 24 else LOST), how
    except (LoaderError, MemoryError) as error:
        return (NAMED if str(error) else LOST), f"{how}: {type(error).__name__}: {error}"
    except RuntimeError as error:  # torch's way to say so
        return (NAMED if "memory" in str(error) else LOST), f"{how}: {error}"


@contextmanager
def _limited(spare: int) -> Iterator[None]:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def forks(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """A fork in the middle of an epoch: the child is told, can make its own loader, and ends; the parent goes on."""
    tally = Tally("fork in the middle of an epoch")
    with tempfile.TemporaryDirectory() as place:
        path = files.pyramid(Path(place))
        for number in range(tries):
            at = int(draw(seed, number).integers(0, 6))
            with Loader(path, num_workers=2, **OPTIONS) as loader:
                epoch = iter(loader)
                for _ in range(at):
                    next(epoch)
                child = os.fork()
                if child == 0:
                    os._exit(_in_child(path, epoch, loader))
                status = _waited(child, 20)
                rest = len(list(epoch))
            ok = status == 0 and at + rest == 6
            tally.add(NAMED if ok else LOST, f"after {at} batches: child {status}, parent had {at + rest} of 6 batches")
            yield {"alive": number}
    yield tally.as_dict()


def _in_child(path: Path, epoch: Iterator[Any], loader: Loader) -> int:
    """0 where the parent's loader gives what it had finished, is refused then, and one's own works."""
    try:
        for _ in epoch:
            continue
    except LoaderError as error:
        if "fork" not in str(error):
            return 3
    try:
        next(iter(loader))
        return 4
    except LoaderError as error:
        if "fork" not in str(error):
            return 5
    with Loader(path, num_workers=2, **OPTIONS) as mine:
        return 0 if len(list(mine)) == 6 else 6


def _waited(child: int, seconds: float) -> int | str:
    handle = os.pidfd_open(child)
    ended, _, _ = select.select([handle], [], [], seconds)
    os.close(handle)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if ended else "hung"


def cycles(seed: int, tries: int, backend: str = "torch") -> Iterator[dict[str, Any]]:
    """Loaders opened, half used and closed, over and over: files, threads and memory return to where they were.

    Of FFCV's, ffcv_beton or ours, each leaves some 4 MB of machine code behind: there memory is told and not judged.
    """
    tally = Tally("opened and closed", OURS[backend])
    with tempfile.TemporaryDirectory() as place:
        path = files.pyramid(Path(place))
        _cycle(path, backend, 0, SETTLES.get(backend, 20))
        before = _held()
        for start in range(0, tries, 20):
            _cycle(path, backend, int(draw(seed, start).integers(4)), 20)
            after = _held()
            flat = after[2] < before[2] * 1.01 + 2 or backend == "ffcv"  # FFCV compiles for each, and numba keeps code
            same = after[:2] == before[:2] and flat
            for _ in range(20):
                tally.add(
                    SURVIVED if same else LOST, f"files, threads, MB: {before} before, {after} after {start + 20}"
                )
            yield {"alive": start}
        tally.facts |= {"files_threads_mb_before": before, "after": after}
    yield tally.as_dict()


def _cycle(path: Path, backend: str, early: int, count: int) -> None:
    for k in range(count):
        loader = Loader(path, backend=backend, num_workers=2, **OPTIONS)
        for batch, _ in enumerate(loader):
            if batch == early:
                break
        if k % 2:
            loader.close()
    if backend != "torch":
        del loader
        gc.collect()  # objects of DALI and of FFCV hold each other


def epochs(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Memory over `tries` epochs at three resolutions in turn: flat within 1 %."""
    tally = Tally("memory over epochs")
    with (
        tempfile.TemporaryDirectory() as place,
        Loader(files.pyramid(Path(place)), batch_size=8, resolution=96, seed=seed, num_workers=2) as loader,
    ):
        held: list[float] = []
        for epoch in range(tries):
            loader.set_stage(resolution=(96, 160, 224)[epoch % 3])
            for _ in loader:
                pass
            held.append(procfs.memory()["anonymous_mb"])
            yield {"alive": epoch}
        first, last = max(held[tries // 10 : tries // 5 + 1]), max(held[-tries // 10 :])
        tally.facts = {"mb_early": round(first, 1), "mb_late": round(last, 1), "epochs": tries}
        tally.add(
            SURVIVED if last <= first * 1.01 else LOST, f"{first:.1f} MB early, {last:.1f} MB after {tries} epochs"
        )
    yield tally.as_dict()


def _held() -> tuple[int, int, float]:
    """Open files, threads, MB of anonymous memory."""
    return (
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
        round(procfs.memory()["anonymous_mb"], 1),
    )
