"""Reading ahead of decoding: on slow storage many reads are in flight, and the pixels are the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import slow_reads
from benchmarks.harness.measure import Missing
from loaders import Loader

SHIM = Path(__file__).parents[2] / "robustness" / "failing_disk.c"
OFF, ERROR, SLOW = 0, 1, 2

SCRIPT = """
import ctypes, hashlib, sys
from loaders import Loader
shim = ctypes.CDLL(None)
most, digests, fetches = 0, [], []
for mode, epochs in ((0, 1), (2, 2)):
    with Loader(sys.argv[1], batch_size=8, resolution=32, num_workers=1, dtype="uint8", prefetch_factor=2) as loader:
        shim.shim_arm(mode, 1)
        for epoch in range(epochs):
            digest = hashlib.sha256()
            for images, _ in loader:
                digest.update(images.numpy().tobytes())
                most = max(most, loader._backend._decoder.pool.readers())
            digests.append(digest.hexdigest()) if epoch == 0 else None
        if mode == 2:  # ended in the middle: reads are in flight
            next(iter(loader))
        shim.shim_arm(0, 1)
        fetches.append(shim.shim_fetches())
print(most, len(set(digests)), *fetches)
"""

# Slow reads, and the number of threads in the middle and some seconds after the epoch.
IDLE = """
import ctypes, os, sys, time
from loaders import Loader
threads = lambda: len(os.listdir("/proc/self/task"))
shim = ctypes.CDLL(None)
with Loader(sys.argv[1], batch_size=8, resolution=32, num_workers=1, dtype="uint8") as loader:
    before = threads()
    for _ in range(2):
        shim.shim_arm(2, 1)
        for _ in loader:
            pass
        shim.shim_arm(0, 1)
        most, deadline = threads(), time.monotonic() + 30
        while threads() > before and time.monotonic() < deadline:
            time.sleep(0.1)
        print(most > before, threads() - before)
"""

# Reads that take 20 ms, and then the same from the page cache.
LATENCY = """
import ctypes, sys
from loaders import Loader
shim = ctypes.CDLL(None)
for mode in (2, 0):
    with Loader(sys.argv[1], batch_size=8, resolution=96, num_workers=1, dtype="uint8") as loader:
        shim.shim_arm(mode, 1)
        for _ in loader:
            pass
        stats = loader.stats()
        shim.shim_arm(0, 1)
        print(stats["storage_s"] >= 0.02, stats["storage_s"] <= stats["read_s"], stats["limited_by"], stats["advice"])
"""

# Every seventh read fails. The first failure may be the row table's, which is read while the epoch is planned
# (BadDataset); another epoch then meets a record.
BROKEN = """
import ctypes, sys
from loaders import BadDataset, BadSample, Loader
shim = ctypes.CDLL(None)
loader = Loader(sys.argv[1], batch_size=8, resolution=32, num_workers=1)
shim.shim_arm(2, 1)
for _ in range(2):
    for _ in loader:
        pass
assert loader._backend._decoder.pool.readers()
shim.shim_arm(1, 7)
for _ in range(20):
    try:
        for _ in loader:
            pass
    except BadDataset as error:
        assert "cannot be read at byte" in str(error)
    except BadSample as error:
        sys.exit(print(error))
"""


# A folder on slow storage in a process that may open 64 files: first it has few open, then all but four, then all.
FEW_FILES = """
import os, resource, sys
from loaders import Loader, LoaderError
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
most = 0

def epochs(loader):
    global most
    for _ in range(4):
        for _ in loader:
            most = max(most, len(os.listdir("/proc/self/fd")))

def open_all():
    while True:
        try:
            held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return

held = []
with Loader(sys.argv[1], batch_size=8, resolution=32, num_workers=1, on_error="replace") as loader:
    epochs(loader)
    print(most, loader.stats()["bad"])
    open_all()
    for file in (held.pop() for _ in range(4)):
        os.close(file)
    for _ in range(4):
        for _ in loader:
            pass
    print(loader.stats()["bad"])
    open_all()
    try:
        next(iter(loader))
    except LoaderError as error:
        print(error, loader.stats()["bad"])
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preloaded library that makes reads of *.beton slow or wrong."""
    if shutil.which("cc") is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    built = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(built), str(SHIM), "-ldl"], check=True)
    return built


def run(shim: Path, script: str, beton: Path) -> str:
    loaded = " ".join((os.environ.get("LD_PRELOAD", ""), str(shim)))  # sanitizers come first
    environment = {**os.environ, "LD_PRELOAD": loaded}
    done = subprocess.run(
        [sys.executable, "-c", script, str(beton)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_slow_reads_are_in_flight_together(shim: Path, beton: Path) -> None:
    most, digests, from_the_page_cache, from_slow_storage = map(int, run(shim, SCRIPT, beton).split())
    assert most > 2
    assert digests == 1
    assert from_the_page_cache == 0 < from_slow_storage


def test_threads_without_work_end_and_are_replaced(shim: Path, beton: Path) -> None:
    assert run(shim, IDLE, beton).split() == ["True", "0", "True", "0"]


def test_statistics_name_slow_storage_and_the_remedy(shim: Path, beton: Path) -> None:
    slow, fast = run(shim, LATENCY, beton).splitlines()
    assert slow == (
        'True True storage latency reads wait for storage: set shuffle="quasi", which reads neighbours together; copy '
        "the data to a faster disk"
    )
    assert fast.startswith("False True ") and "storage" not in fast


def test_errors_of_reads_ahead_are_named(shim: Path, beton: Path) -> None:
    assert "cannot be read at byte" in run(shim, BROKEN, beton)


def test_good_samples_are_read_though_few_files_may_be_open(jpeg_folder: Path, tmp_path: Path) -> None:
    if "libubsan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the sanitizer needs a file descriptor, too, and reports what it cannot look at")
    try:
        slow = slow_reads.environment(0.005, tmp_path)
    except Missing as why:
        pytest.skip(str(why))
    folder = jpeg_folder / "train"
    done = subprocess.run(
        [sys.executable, "-c", FEW_FILES, str(folder)],
        env={**os.environ, **slow},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    few, scarce, none = done.stdout.splitlines()
    most, bad = few.split(maxsplit=1)
    assert int(most) < 40 and bad == scarce == "[]"
    assert none.startswith(f"{folder}: sample ") and none.endswith(
        "cannot be opened: too many open files; allow more (ulimit -n), or close some []"
    )


def test_random_reads_are_announced(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, _start, _size, advice: told.append((fd, advice)))
    with Loader(beton, batch_size=8, resolution=32) as loader:
        assert told == [(loader.source.fd, os.POSIX_FADV_RANDOM)]


def test_fewer_batches_are_under_way_once_storage_is_fast_again(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = iter([256] * 3 + [0] * 100)
    with Loader(beton, batch_size=2, resolution=32, num_workers=1, prefetch_factor=1) as loader:
        monkeypatch.setattr(loader._backend._decoder.pool, "readers", lambda: next(readers))
        assert sum(1 for _ in loader) == len(loader) > 4
