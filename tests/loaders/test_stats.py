from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loaders import open_dataset
from loaders.stats import STORAGE, storage_advice, summarise

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


@pytest.mark.parametrize(("storage", "limit"), [(9, STORAGE), (5, STORAGE), (4, "read"), (0, "read")])
def test_reading_is_told_from_waiting_for_storage(storage: int, limit: str) -> None:
    sums = {**SUMS, "read_ns": 10_000_000_000, "storage_ns": storage * 1_000_000_000}
    stats = summarise(sums, [], waited=3.0, iterated=4.0, advice="do this")
    assert (stats["limited_by"], stats["storage_s"]) == (limit, storage)
    assert stats["advice"] == ("do this" if limit == STORAGE else "")


def test_waiting_for_a_store_is_storage_latency() -> None:
    sums = {**SUMS, "fetch_ns": 3_000_000_000}
    assert summarise(sums, [], waited=3.0, iterated=4.0)["limited_by"] == "decode"
    stats = summarise(sums, [], waited=3.0, iterated=4.0, workers=8)
    assert (stats["limited_by"], stats["fetch_s"]) == (STORAGE, 3)
    assert summarise(sums, [], waited=0.1, iterated=4.0, workers=8)["limited_by"] == "consumer"


@pytest.mark.parametrize(
    ("path", "image_bytes", "shuffle", "cached", "told"),
    [
        ("x.beton", 3, True, False, ["shuffle=", "faster disk"]),
        ("x.beton", 3, "quasi", False, ["faster disk"]),
        ("photos", 0, True, False, ["efficienttrain convert", "faster disk"]),
        ("s3://b/x.beton", 3, True, False, ["shuffle=", "cache_dir="]),
        ("s3://b/x.beton", 3, "quasi", False, ["cache_dir="]),
        ("s3://b/x.beton", 3, True, True, ["shuffle="]),
        ("s3://b/x.beton", 3, "quasi", True, []),
    ],
)
def test_the_advice_fits_the_data_set(path: str, image_bytes: int, shuffle: Any, cached: bool, told: list[str]) -> None:
    source: Any = SimpleNamespace(path=path, image_bytes=image_bytes, storage=object())
    advice = storage_advice(source, shuffle, cached)
    remedies = advice.split(": ", 1)[1].split("; ") if advice else []
    assert len(remedies) == len(told) and all(word in remedy for word, remedy in zip(told, remedies, strict=True))


def test_betons_need_no_conversion_be_they_parts_or_closed(beton: Path, jpeg_folder: Path) -> None:
    for data, convert in ((beton, False), ([beton, beton], False), (jpeg_folder / "train", True)):
        with open_dataset(data) as dataset:
            opened = storage_advice(dataset, True, cached=False)
        assert storage_advice(dataset, True, cached=False) == opened
        assert ("efficienttrain convert" in opened) == convert
