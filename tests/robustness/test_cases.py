"""A few tries of every case, most of them in this process: a crash here crashes the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.robustness import damage, files, hostile, kills, load, reading, stores, training
from tests.robustness.watchdog import watch

Run = Callable[..., Iterator[dict[str, Any]]]


@pytest.mark.parametrize(
    ("run", "count"), [(damage.pool, 600), (damage.records, 600), (damage.transcode, 300), (damage.loader, 150)]
)
def test_damaged_jpegs_are_libjpegs_or_named(run: Run, count: int) -> None:
    survived = named = 0
    for reply in run(11, 0, count):
        assert reply["reproducers"] == []
        survived, named = survived + reply["survived"], named + reply["named"]
    assert survived + named == count and survived > count // 10 and named > count // 10


def test_flipped_bits_are_named_or_harmless() -> None:
    results = {reply["fault"]: reply for reply in files.flips(3, 6) if "fault" in reply}
    assert len(results) == 24
    for fault, reply in results.items():
        assert reply["reproducers"] == [], fault
        if fault.endswith("verify"):
            assert reply["named"] == 6


@pytest.mark.parametrize("run", [files.cuts, files.swaps, hostile.names])
def test_cut_swapped_and_ill_named_betons(run: Run) -> None:
    for reply in run(3, 1 if run is hostile.names else 3):
        assert "alive" in reply or (reply["tries"] and reply["reproducers"] == [])


def test_hostile_tables_with_sound_crcs() -> None:
    for reply in hostile.betons(3, 40):
        assert reply.get("reproducers", []) == []


def test_a_store_that_misbehaves_is_named_or_survived() -> None:
    pytest.importorskip("obstore")
    told = [reply for reply in watch("tests.robustness.stores:faults", seed=3, tries=3) if "fault" in reply]
    assert [reply["reproducers"] for reply in told] == [[]] * len(stores.FAULTS)
    assert [reply["survived"] for reply in told][:2] == [3, 3] and told[3]["survived"] == 3
    assert all(told[k]["named"] >= 1 for k in (2, 4))  # the first try at least: later batches may have been fetched


def test_an_epoch_of_ten_times_the_cache_holds_little() -> None:
    pytest.importorskip("obstore")
    *_, told = stores.small_cache(3, 2)
    assert told["reproducers"] == [] and told["survived"] == 1


def test_a_failing_disk_is_named(tmp_path: Path) -> None:
    shim = reading.build_shim(tmp_path)
    if shim is None:
        pytest.skip("needs a C compiler")
    told = watch("tests.robustness.reading:disk", env={"LD_PRELOAD": str(shim)}, seed=3, tries=4)
    replies = [reply for reply in told if "fault" in reply]
    assert [reply["named"] for reply in replies] == [4, 0, 0, 0]
    assert [reply["survived"] for reply in replies] == [0, 4, 4, 4]
    assert all(reply["facts"]["reads_hit"] for reply in replies)


@pytest.mark.parametrize("case", ["reading:memory", "reading:forks"])
def test_little_memory_and_forks(case: str) -> None:
    *_, reply = watch(f"tests.robustness.{case}", seed=3, tries=3)
    assert reply["tries"] == 3 and reply["reproducers"] == []


@pytest.mark.parametrize(("run", "tries"), [(reading.cycles, 20), (load.consumers, 40), (load.batch_sizes, 9)])
def test_cycles_and_odd_consumers(run: Run, tries: int) -> None:
    *_, reply = run(3, tries)
    assert reply["tries"] >= tries and reply["reproducers"] == []


@pytest.mark.slow
@pytest.mark.parametrize("run", [kills.kill, kills.worker, kills.full_disk, kills.read_only, kills.crowd])
def test_no_half_written_beton_and_nothing_left(run: Run) -> None:
    *_, reply = run(3, 1)
    if "skipped" in reply:
        pytest.skip(reply["skipped"])
    assert reply["tries"] == 1 and reply["reproducers"] == []


@pytest.mark.slow
def test_a_killed_training_resumes_exactly() -> None:
    *_, reply = training.kill(3, 1)
    assert reply["tries"] == 2 and reply["reproducers"] == []
    assert any(0 < steps < reply["facts"]["steps"] for steps in reply["facts"]["killed_after"])
