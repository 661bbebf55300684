"""How a loader ends, on each backend: threads, Ctrl-C, memory over many epochs."""

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

pytestmark = pytest.mark.parametrize("backend", ["torch", pytest.param("dali", marks=pytest.mark.dali)])

ENDLESS = """
import sys
from loaders import Loader
loader = Loader(sys.argv[1], batch_size=2, backend=sys.argv[2], resolution=32, num_workers=1)
list(loader)
print("ready", flush=True)
try:
    while True:
        for batch in loader: pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

DAEMONS = """
import sys, threading, time
from loaders import Loader
def read():
    loader = Loader(sys.argv[1], batch_size=2, backend=sys.argv[2], resolution=32, num_workers=1)
    while True:
        for batch in loader: started.set()
started = threading.Event()
for _ in range(4): threading.Thread(target=read, daemon=True).start()
started.wait()
time.sleep(0.2)
print("end", flush=True)
"""


def threads() -> int:
    """Threads of this process, once their number has not changed for 0.3 s: a joined one stays listed for a moment."""
    gc.collect()
    counts: list[int] = []
    while len(counts) < 30 or len(set(counts[-30:])) > 1:
        counts.append(len(os.listdir("/proc/self/task")))
        time.sleep(0.01)
    return counts[-1]


@pytest.mark.parametrize("how", ["close", "break", "garbage", "exception"])
def test_threads_end_with_the_loader(beton: Path, backend: str, how: str) -> None:
    with make(beton, backend=backend) as loader:  # what a package starts once a process is started
        list(loader)
    del loader
    before = threads()
    loader = make(beton, backend=backend, num_workers=3)
    if how == "exception":
        with pytest.raises(ZeroDivisionError):
            for _ in loader:
                1 / 0  # noqa: B018
    for _ in loader:
        if how == "break":
            break
    assert threads() > before + 3 if backend == "dali" else threads() == before + 3
    if how == "close":
        loader.close()
    del loader
    assert threads() == before


def test_ctrl_c_ends_a_loop(beton: Path, backend: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ENDLESS, os.fspath(beton), backend]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
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


def test_a_program_ends_while_daemon_threads_read(beton: Path, backend: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", DAEMONS, os.fspath(beton), backend]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "end\n"), ended.stderr


def test_memory_stays_flat(beton: Path, backend: str) -> None:
    def anonymous() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

    allowed = {"torch": 4096, "dali": 8192}[backend]  # kB
    with make(beton, backend=backend) as loader:
        for _ in range(15):
            list(loader)
        before = anonymous()
        for _ in range(40):
            list(loader)
        assert anonymous() - before < allowed
