"""How a loader on DALI ends: threads, Ctrl-C, memory."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract import make

pytestmark = pytest.mark.dali

ENDLESS = """
import sys
from loaders import Loader
loader = Loader(sys.argv[1], batch_size=2, bandwidth=32, workers=1, backend="dali")
list(loader)
print("ready", flush=True)
try:
    while True:
        for batch in loader: pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("how", ["close", "break", "garbage", "exception"])
def test_threads_end_with_the_loader(beton: Path, how: str) -> None:
    def threads() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/task"))

    with make(beton, backend="dali") as loader:  # what DALI starts once a process is started
        list(loader)
    del loader
    before = threads()
    loader = make(beton, backend="dali", workers=3)
    if how == "exception":
        with pytest.raises(ZeroDivisionError):
            for _ in loader:
                1 / 0  # noqa: B018
    for _ in loader:
        if how == "break":
            break
    assert threads() > before
    if how == "close":
        loader.close()
    del loader
    assert threads() == before


@pytest.mark.slow
def test_ctrl_c_ends_a_loop(beton: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ENDLESS, os.fspath(beton)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for _ in range(10):  # Python drops an interrupt that meets a finalizer: users press again
            child.send_signal(signal.SIGINT)
            try:
                child.wait(5)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            child.kill()
        assert child.stdout.read() == "interrupted\n" and child.wait() == 0


def test_memory_stays_flat(beton: Path) -> None:
    def anonymous() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

    with make(beton, backend="dali") as loader:
        for _ in range(15):
            list(loader)
        before = anonymous()
        for _ in range(30):
            list(loader)
        assert anonymous() - before < 8192  # kB
