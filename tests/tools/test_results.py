"""The tables of README.md and docs/results.md show what the saved reports contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cache import EPOCHS
from benchmarks.peers import PEERS
from tools import results


@pytest.mark.parametrize("page", results.PAGES, ids=lambda page: page.name)
def test_the_pages_show_the_reports(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert results.TABLE.search(text)
    assert results.renewed(text, results.REPORTS) == text, "run: python -m tools results"


def test_rows_name_contestants_that_exist() -> None:
    named = {name for names in results.RATIOS.values() for name in names}
    named |= {share[0] for share in results.SHARES.values()} | set(results.TIMES.values())
    assert named <= {*PEERS, *EPOCHS}


def result(name: str, resolution: int, *rates: float, **read: float) -> dict[str, Any]:
    return {"contestant": name, "resolution": resolution, "rates": rates, "bytes_an_image": read}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    rows = [
        *(result(name, 96, *rates) for name, rates in {"ffcv": (10, 20, 10), "dali": (20, 10, 10)}.items()),
        *(result(name, 160, 5, 5, 5) for name in ("ffcv", "dali")),
        result("ours", 96, 100, 100, 100, disk=11, asked=10),
        result("ours", 160, 50, 50, 50, disk=24, asked=20),
    ]
    (tmp_path / "r.json").write_text(json.dumps({"settings": {"resolutions": [96, 160]}, "results": rows}))
    return tmp_path


def test_numbers_come_from_the_report(report: Path) -> None:
    page = """Text.

<!-- from r.json -->

| | 1 px |
|---|---|
| ours ÷ the faster of FFCV and DALI (CPU) | 99 |
| bytes from the disk ÷ bytes asked for, random order | |
| time per image ÷ that at the smallest resolution, ours | |

| another | table |
"""
    assert (
        results.renewed(page, report)
        == """Text.

<!-- from r.json -->

| | 96 px | 160 px |
|---|---|---|
| ours ÷ the faster of FFCV and DALI (CPU) | 5.0 | 10.0 |
| bytes from the disk ÷ bytes asked for, random order | 1.10 | 1.20 |
| time per image ÷ that at the smallest resolution, ours | 1.0 | 2.0 |

| another | table |
"""
    )


def test_decibels(tmp_path: Path) -> None:
    def rows(path: str, ahead: float) -> list[dict[str, Any]]:
        psnr = {96: 40.0, 224: 53.0}
        official = {96: 40.0 - ahead, 224: 100.0}
        return [
            {"path": path, "resolution": b, "psnr": {"median": psnr[b]}, "minus_official": psnr[b] - official[b]}
            for b in psnr
        ]

    for name, ahead in {"a": 0.25, "b": -1.5}.items():
        report = {"settings": {"resolutions": [96, 224]}, "results": [*rows("ours", ahead), *rows("ours-full", 2.0)]}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    page = "<!-- fidelity a.json b.json a.json -->\n\n| |\n|---|\n| a | |\n| b | |\n| a, full size only | |\n"
    _, table = results.renewed(page, tmp_path).split("\n\n")
    assert table.splitlines() == [
        "| | 96 px | 224 px |",
        "|---|---|---|",
        "| a | +0.2 | 53 dB |",
        "| b | -1.5 | 53 dB |",
        "| a, full size only | +2.0 | 53 dB |",
    ]


@pytest.mark.parametrize("label", ["ours ÷ nothing", "ours ÷ litData"])
def test_a_row_without_a_figure_is_an_error(label: str, report: Path) -> None:
    with pytest.raises(ValueError, match=r"r\.json has no figure for the row 'ours ÷"):
        results.renewed(f"<!-- from r.json -->\n\n| | 96 px |\n|---|---|\n| {label} | 1 |\n", report)
