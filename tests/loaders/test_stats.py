from __future__ import annotations

from loaders.stats import summarise

SUMS = {
    "read_ns": 1_000_000_000,
    "decode_ns": 5_000_000_000,
    "resample_ns": 2_000_000_000,
    "bytes_read": 7,
    "bytes_decoded": 9,
    "samples": 3,
}


def test_the_busiest_station_limits_who_waits() -> None:
    stats = summarise(SUMS, [], waited=3.0, iterated=4.0)
    assert stats["limited_by"] == "decode" and stats["stall"] == 0.75
    assert (stats["read_s"], stats["decode_s"], stats["resample_s"]) == (1, 5, 2)
    assert (stats["samples"], stats["bytes_read"], stats["bytes_decoded"]) == (3, 7, 9)


def test_shared_work_counts_by_the_thread() -> None:
    sums = {**SUMS, "ops_ns": 2_000_000_000, "cut_ns": 7_000_000_000}
    assert summarise(sums, [], waited=3.0, iterated=4.0)["limited_by"] == "cut"
    stats = summarise(sums, [], waited=3.0, iterated=4.0, workers=4)
    assert stats["limited_by"] == "ops" and (stats["cut_s"], stats["ops_s"], stats["copy_s"]) == (7, 2, 0)


def test_who_does_not_wait_is_the_limit() -> None:
    assert summarise(SUMS, [], waited=0.1, iterated=4.0)["limited_by"] == "consumer"
    assert summarise(SUMS, [], waited=0.0, iterated=0.0)["stall"] == 0.0
