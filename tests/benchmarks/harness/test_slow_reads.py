from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import slow_reads
from benchmarks.harness.measure import Missing

READ = """
import os, time
file = os.open("/dev/zero", os.O_RDONLY)
start = time.perf_counter()
assert os.pread(file, 4, 0) == bytes(4)
print(time.perf_counter() - start)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_read_takes_longer(tmp_path: Path) -> None:
    extra = slow_reads.environment(0.2, tmp_path)
    assert slow_reads.environment(0.2, tmp_path) == extra  # compiled once
    took = subprocess.run(
        [sys.executable, "-c", READ], env={**os.environ, **extra}, capture_output=True, text=True, check=True
    )
    assert float(took.stdout) >= 0.2


def test_without_a_compiler_the_contestant_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(Missing, match=r"slow_reads\.c cannot be compiled: .*no-such-compiler"):
        slow_reads.environment(0.2, tmp_path)
