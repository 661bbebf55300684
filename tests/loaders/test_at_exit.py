"""The end of a program whose other threads still read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import atexit, sys, threading, time
seen = 0
def last():
    before = seen
    time.sleep(0.2)
    print("halted" if seen == before else "reads on")
atexit.register(last)  # exit handlers run in reverse order: after the loader's
from loaders import Loader
def read():
    global seen
    loader = Loader(sys.argv[1], batch_size=2, resolution=32, num_workers=1)
    for epoch in range(int(sys.argv[3])):
        for batch in loader:
            seen += 1
            started.set()
    print("read", epoch + 1)
started = threading.Event()
threading.Thread(target=read, daemon=sys.argv[2] == "daemon").start()
started.wait()
"""


def run(beton: Path, kind: str, epochs: int) -> tuple[int, str, str]:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, os.fspath(beton), kind, str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_a_daemon_thread_is_halted_without_an_error(beton: Path) -> None:
    assert run(beton, "daemon", 10**9) == (0, "halted\n", "")


def test_another_thread_reads_to_its_end(beton: Path) -> None:
    assert run(beton, "plain", 20) == (0, "read 20\nhalted\n", "")
