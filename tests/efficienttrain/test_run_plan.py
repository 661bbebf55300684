"""Plans whose results can be computed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from efficienttrain import recipe
from efficienttrain.run_plan import Figure, Rates, RunPlan, hours, money, read_rates, size
from efficienttrain.timetable import timetable

RATES = Rates(
    convert=100.0, growth=1.5, load={96: 1e-4, 224: 5e-4}, read={96: 0.25, 224: 0.75}, image_bytes=100e3, origins={}
)
INPUTS = {
    "images": 3.6e6, "image size": 100e3, "nodes": 2, "GPUs": 4, "processors": 10, "conversion": 100.0, "growth": 1.5,
    "GPU": 1000.0, "network": 8.0, "requests": 0.5, "over-reading": 2.0, "PUT price": 0.005, "GET price": 0.0004,
    "storage price": 0.02,
}  # fmt: skip
GUESSED = {"GPU", "requests"}


def plan(storage: str = "local", curriculum: str = "none", **changed: float) -> RunPlan:
    values = {**INPUTS, **{name.replace("_", " "): value for name, value in changed.items()}}
    inputs = {name: Figure(value, "assumed" if name in GUESSED else "given") for name, value in values.items()}
    table = timetable(recipe("deit_small_patch16_224", 10, curriculum), int(values["images"]), 10)
    return RunPlan(inputs, storage, RATES, table, 4)


def values(lines: Any) -> dict[str, str]:
    return {line.what: line.value for line in lines}


def test_conversion_by_hand() -> None:
    made = values(plan().conversion())
    assert made["by the processors"] == "30 minutes"  # 3.6e6 / (2 x 10 x 100) s
    assert made["bytes written"] == "540 GB" and made["parts"] == "4 of 135 GB"
    made = values(plan("nfs").conversion())
    assert made["by the network"] == "7.5 minutes"  # 900 GB / 2 GB/s
    assert made["conversion"] == "30 minutes, limited by the processors"
    slow = values(plan("nfs", network=1.0, image_size=200e3).conversion())
    assert slow["by the processors"] == "60 minutes"  # twice the bytes, twice the time
    assert slow["conversion"] == "2 hours, limited by the network"


def test_training_by_hand() -> None:
    (stage,) = plan().stages()
    assert (stage.limit, stage.rate, stage.processors, stage.bytes) == ("GPU", 1000.0, 0.5, 75e3)
    assert stage.passes == pytest.approx(10, rel=0.01) and stage.seconds == pytest.approx(36e6 / 8000, rel=0.01)
    (stage,) = plan(GPU=10_000).stages()
    assert (stage.limit, stage.rate) == ("loader", 5000.0)  # 2.5 processors a GPU, 2,000 images/s each
    (stage,) = plan("s3", GPU=10_000).stages()
    assert (stage.limit, stage.rate, stage.bytes) == ("network", 2500.0, 100e3)  # 1 GB/s for 4 GPUs; at most the image


def test_stages_of_one_resolution_are_one_row() -> None:
    stages = plan(curriculum="auto").stages()
    assert [stage.resolution for stage in stages] == [96, 160, 192, 224]
    assert stages[0].gpu == pytest.approx(1000 * (224 / 96) ** 2)


def test_requests_and_prices_by_hand() -> None:
    made = values(plan("s3").remote())
    assert made["uploading"] == "67,500 requests, $0.34"
    assert made["storing"] == "$10.80 a month"
    assert made["reading without a cache"].startswith("3.6 TB, 18,00") and "$7.20" in made["reading without a cache"]
    assert made["reading with a cache"] == "1.08 TB, 8,437,500 requests at most, $3.38; --cache-gb 540 on each node"


def test_a_result_is_as_good_as_its_inputs() -> None:
    made = plan()
    assert made.origin(("image size", "growth")) == "measured"
    assert made.origin(("image size", "GPU", "requests")) == "assumed: GPU, requests"


def test_between_and_beyond_measured_resolutions() -> None:
    assert RATES.seconds(96) == 1e-4 and RATES.seconds(224) == 5e-4
    middle = ((96**2 + 224**2) / 2) ** 0.5
    assert RATES.load[96] < RATES.seconds(160) < RATES.load[224] and round(middle) == 172
    assert RATES.seconds(172) == pytest.approx(3e-4, rel=0.01)
    assert RATES.seconds(448) == 2e-3 and RATES.seconds(48) == 2.5e-5 and RATES.share_read(448) == 1.0


def report(kind: str, **more: Any) -> dict[str, Any]:
    settings = {"threads": 2, "workers": 4, "mean_file_bytes": 5e4}
    return {"benchmark": kind, "settings": settings, "results": [more]}


def test_rates_of_reports(tmp_path: Path) -> None:
    speed, conversion = tmp_path / "t.json", tmp_path / "c.json"
    ours = {"contestant": "ours", "rate": {"median": 1000.0}}
    stored = {"bytes_an_image": {"read": 10, "stored": 40}}
    conversion.write_text(json.dumps(report("convert", **ours, bytes_per_source_byte=1.4)))
    for side in ("bandwidth", "resolution"):  # reports of before and after the name changed
        speed.write_text(json.dumps(report("throughput", **ours, **stored, **{side: 96})))
        rates = read_rates([speed, conversion])
        assert (rates.convert, rates.growth, rates.load, rates.read) == (250.0, 1.4, {96: 0.002}, {96: 0.25})
    with pytest.raises(ValueError, match=r"no report of `efficienttrain benchmark convert --json` in .*t.json"):
        read_rates([speed])
    speed.write_text(json.dumps(report("throughput", **{**ours, "contestant": "ffcv"})))
    with pytest.raises(ValueError, match=r"t.json: holds no result of the contestant `ours`"):
        read_rates([speed, conversion])


def test_units() -> None:
    assert [hours(s) for s in (60, 7200, 3 * 86400)] == ["1 minutes", "2 hours", "3 days"]
    assert [size(n) for n in (5, 999_600, 2.5e9, 3e15)] == ["5 B", "1 MB", "2.5 GB", "3 PB"]
    assert [money(x) for x in (0.5, 1234.5)] == ["$0.50", "$1,234"]
