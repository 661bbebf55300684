"""Many loaders, odd consumers, all batch sizes. Each function runs in a child whose silence is a deadlock."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

from loaders import Loader, convert
from loaders.errors import LoaderError
from tests.robustness import files
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, NAMED, OURS, SURVIVED, Tally
from tests.robustness.watchdog import ROOT

MANY = 8
SMALL: dict[str, Any] = {"batch_size": 4, "resolution": 32, "dtype": "uint8", "num_workers": 2}
PLACES = {"ffcv": "loaders.backends.ffcv.epoch.Epoch.start_batch", "dali": "loaders.backends.dali.threads._loop"}
"""What a thread calls: FFCV's for each batch, each of ours beside DALI for its part of one."""
CALLS = {"ffcv": 6, "dali": 12}  # of those in an epoch
ONE_EPOCH = (
    "import sys, hashlib; from loaders import Loader\n"
    "total = hashlib.sha256()\n"
    "for _ in range(int(sys.argv[2])):\n"
    "    options = {'output': 'uint8', 'workers': 2, 'seed': int(sys.argv[3])}\n"
    "    for images, _ in Loader(sys.argv[1], batch_size=8, resolution=64, **options):\n"
    "        total.update(images.numpy().tobytes())\n"
    "print(total.hexdigest())\n"
)


def consumers(seed: int, tries: int, backend: str = "torch") -> Iterator[dict[str, Any]]:
    """Loaders that are broken off, thrown at, dropped or stalled, at any batch; the next epoch must be whole."""
    tally = Tally("consumer stops early or stalls", OURS[backend])
    with tempfile.TemporaryDirectory() as place:
        loader = Loader(files.pyramid(Path(place)), backend=backend, **SMALL)
        for number in range(tries):
            rng = draw(seed, number)
            how, at = ("break", "raise", "drop", "stall")[number % 4], int(rng.integers(0, 6))
            try:
                _consume(loader, how, at)
                loader.set_epoch(loader.epoch + 1)
                whole = sum(len(images) for images, _ in loader) == 24 if number % 10 == 0 else True
            except Exception as error:
                tally.add(LOST, f"{how} at batch {at}: {error}")
                continue
            tally.add(SURVIVED if whole else LOST, f"the epoch after {how} at batch {at} is not whole")
            if number % 50 == 0:
                yield {"alive": number}
        loader.close()
    yield tally.as_dict()


def _consume(loader: Loader, how: str, at: int) -> None:
    epoch = iter(loader)
    try:
        for batch, _ in enumerate(epoch):
            if batch == at:
                if how == "raise":
                    raise ZeroDivisionError
                if how == "stall":
                    time.sleep(0.005)
                    continue
                break
    except ZeroDivisionError:
        pass
    if how == "drop":
        del epoch
        gc.collect()


def threads(seed: int, tries: int, backend: str) -> Iterator[dict[str, Any]]:
    """A thread that works for a loader raises what nobody expects: the consumer is told, and the next epoch is whole.

    The kernel's own threads run no Python, and so cannot.
    """
    tally = Tally("thread of the loader raises", OURS[backend])
    with tempfile.TemporaryDirectory() as place, Loader(files.pyramid(Path(place)), backend=backend, **SMALL) as loader:
        list(loader)
        for number in range(tries):
            at = int(draw(seed, number).integers(CALLS[backend]))
            told = ""
            with patch(PLACES[backend], _raising(PLACES[backend], at)):
                start = time.monotonic()
                try:
                    list(loader)
                except (LoaderError, MemoryError) as error:
                    told = f"{type(error).__name__}: {error}"
            seconds, whole = time.monotonic() - start, sum(len(images) for images, _ in loader) == 24
            how = f"call {at}: told {told!r} after {seconds:.1f} s, next epoch whole: {whole}"
            tally.add(NAMED if told and whole and seconds < 10 else LOST, how)
            yield {"alive": number}
    yield tally.as_dict()


def _raising(place: str, at: int) -> Callable[..., Any]:
    """What stands at `place`, but for call number `at`."""
    real, calls = resolve_name(place), count()

    def call_or_raise(*arguments: Any) -> Any:
        if next(calls) == at:
            raise MemoryError("on purpose")
        return real(*arguments)

    return call_or_raise


def batch_sizes(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """1 to 4096 and odd ones between, larger than the data set too; nothing is lost or given twice."""
    tally = Tally("batch sizes 1 to 4096")
    with tempfile.TemporaryDirectory() as place:
        path = files.pyramid(Path(place))
        sizes = [1, 2, 3, 7, 23, 24, 25, 64, 1000, 1024, 1025, 4096][: max(4, tries)]
        for size in sizes:
            with Loader(path, batch_size=size, resolution=32, drop_last=False, seed=seed, num_workers=2) as loader:
                for prefetch in range(2):
                    count = sum(len(images) for images, _ in loader)
                    tally.add(SURVIVED if count == 24 else LOST, f"batch {size}, epoch {prefetch}: {count} of 24")
            yield {"alive": size}
    yield tally.as_dict()


def processes(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Four processes on one beton: each gives the same batches."""
    tally = Tally("4 processes on one beton")
    with tempfile.TemporaryDirectory() as place:
        path = files.pyramid(Path(place))
        for _ in range(tries):
            command = [sys.executable, "-c", ONE_EPOCH, str(path), "20", str(seed)]
            running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(4)]
            answers = {process.communicate(timeout=120)[0] for process in running}
            failed = [process.returncode for process in running if process.returncode]
            tally.add(SURVIVED if len(answers) == 1 and not failed else LOST, f"{len(answers)} answers, ended {failed}")
            yield {"alive": 0}
    yield tally.as_dict()


def many_loaders(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Eight loaders in one process, each in a thread of its own, against one; windows in turn, ratio in each pair."""
    tally = Tally(f"{MANY} loaders in one process")
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "many.beton")
        convert(files.folder(Path(place), 60, (320, 240)), path, workers=threads)
        loaders = [
            Loader(path, batch_size=32, resolution=96, dtype="uint8", num_workers=threads, seed=seed)
            for _ in range(MANY)
        ]
        ratios, rates = [], []
        for number in range(-1, tries):
            pair = [_rate(loaders[:1]), _rate(loaders)][:: 1 if number % 2 else -1]
            one, many = pair if number % 2 else pair[::-1]
            if number >= 0:  # the first round warms up
                ratios.append(many / one)
                rates.append(one)
            yield {"alive": number}
        for loader in loaders:
            loader.close()
        ratio = statistics.median(ratios)
        tally.facts = {"throughput_ratio": round(ratio, 3), "of": [round(r, 3) for r in sorted(ratios)]}
        tally.facts["one_loader_images_per_s"] = round(statistics.median(rates))
        tally.add(SURVIVED if ratio >= 0.9 else LOST, f"{MANY} loaders give {ratio:.2f} of one")
    yield tally.as_dict()


def _rate(loaders: list[Loader], seconds: float = 0.7) -> float:
    """Images a second of all loaders together, each consumed by a thread."""
    counts = [0] * len(loaders)
    start = time.perf_counter()

    def consume(k: int) -> None:
        while time.perf_counter() < start + seconds:
            for images, _ in loaders[k]:
                counts[k] += len(images)
                if time.perf_counter() >= start + seconds:
                    return

    threads = [threading.Thread(target=consume, args=(k,)) for k in range(len(loaders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)
