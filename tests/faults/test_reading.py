from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import load, reading
from benchmarks.faults.watchdog import watch


def test_a_failing_disk_is_named(tmp_path: Path) -> None:
    shim = reading.build_shim(tmp_path)
    if shim is None:
        pytest.skip("needs a C compiler")
    told = watch("benchmarks.faults.reading:disk", env={"LD_PRELOAD": str(shim)}, seed=3, tries=4)
    replies = [reply for reply in told if "fault" in reply]
    assert [reply["named"] for reply in replies] == [4, 0, 0, 0]
    assert [reply["survived"] for reply in replies] == [0, 4, 4, 4]
    assert all(reply["facts"]["reads_hit"] for reply in replies)


@pytest.mark.parametrize("case", ["reading:memory", "reading:forks"])
def test_little_memory_and_forks(case: str) -> None:
    *_, reply = watch(f"benchmarks.faults.{case}", seed=3, tries=3)
    assert reply["tries"] == 3 and reply["reproducers"] == []


@pytest.mark.parametrize(("run", "tries"), [(reading.cycles, 20), (load.consumers, 40), (load.batch_sizes, 9)])
def test_cycles_and_odd_consumers(run: object, tries: int) -> None:
    *_, reply = run(3, tries)  # type: ignore[operator]
    assert reply["tries"] >= tries and reply["reproducers"] == []
