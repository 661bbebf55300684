"""How a loader ends: threads, Ctrl-C, memory over many epochs."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract import make


def test_threads_end_with_the_loader(beton: Path) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    before = threads()
    for how in ("close", "break", "garbage", "exception"):
        loader = make(beton, workers=3)
        assert threads() == before + 3
        if how == "exception":
            with pytest.raises(ZeroDivisionError):
                for _ in loader:
                    1 / 0  # noqa: B018
        for _ in loader:
            break
        if how == "close":
            loader.close()
        del loader
        gc.collect()
        assert threads() == before, how


def test_ctrl_c_ends_a_wait(beton: Path) -> None:
    script = (
        "import sys, time\n"
        "from loaders import Loader\n"
        f"loader = Loader({os.fspath(beton)!r}, batch_size=2, bandwidth=32, workers=1)\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    while True:\n"
        "        for batch in loader: pass\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(0.3)
        for _ in range(3):  # Python drops an interrupt that meets a finalizer: users press again
            child.send_signal(signal.SIGINT)
            try:
                child.wait(15)
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

    with make(beton) as loader:
        for _ in range(10):
            list(loader)
        before = anonymous()
        for _ in range(40):
            list(loader)
        assert anonymous() - before < 4096  # kB
