"""Text and JSON of reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import figures, machine, report
from benchmarks.reference import EQUAL


def fidelity() -> dict[str, Any]:
    medians = {(96, "ours"): 36.5, (96, "official"): 37.0, (224, "ours"): 41.0, (224, "official"): EQUAL}
    results = [
        {
            "resolution": resolution,
            "path": path,
            "label": path,
            "psnr": {"median": median, "q1": median - 1, "q3": median + 1},
            "minus_official": median - medians[resolution, "official"],
        }
        for (resolution, path), median in medians.items()
    ]
    settings = {"data": "val", "images": 2, "crops": 4, "seed": 1, "resolutions": [96, 224]}
    parts = {"machine": machine.card(), "settings": settings, "fairness": ["a rule"], "notes": ["a note"]}
    view = {"crop_mode": "center", "interpolation": "bicubic", "path": "ours", "worst": 44.0}
    views = [{**view, "resolution": b, "psnr": {"median": 55.5, "q1": 54.0, "q3": 57.0}} for b in (96, 224)]
    return {"benchmark": "fidelity", "version": 1, **parts, "results": results, "evaluation": views}


def test_fidelity_as_text() -> None:
    text = report.fidelity_text(fidelity())
    assert "36.50 (35.5-37.5) -0.50" in text  # ours, and its distance from the official path
    official = next(line for line in text.splitlines() if line.startswith("official"))
    assert official.split()[-1] == "equal"  # at 224 the official path is the exact one
    assert text.splitlines()[-1].split()[:3] == ["center,", "bicubic,", "ours"] and "55.5 (worst 44.0)" in text
    assert "41.00 (40.0-42.0)" in text
    assert "  - a rule" in text
    assert "Note: a note" in text


def test_json_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    report.write_json(str(path), fidelity())
    read = json.loads(path.read_text())
    assert read["results"][0]["psnr"]["median"] == 36.5
    path.write_text("old")
    with pytest.raises(TypeError):
        report.write_json(str(path), {"x": object()})
    assert path.read_text() == "old"


def test_fidelity_as_a_picture(tmp_path: Path) -> None:
    figures.fidelity(fidelity(), str(tmp_path / "f.png"))
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_conversion_as_text() -> None:
    rate = {"median": 500.0, "q1": 490.0, "q3": 510.0}
    results = [{"contestant": "ours", "rate": rate, "bytes_per_source_byte": 1.38}]
    ratios = {"ours_over_ffcv": {"median": 1.5, "q1": 1.4, "q3": 1.6}}
    base = {"benchmark": "convert", "machine": machine.card(), "settings": {}, "fairness": [], "notes": []}
    text = report.convert_text({**base, "results": results, "ratios": ratios})
    assert ["ours", "500", "490-510", "1.38"] in [line.split() for line in text.splitlines()]
    assert "ours / FFCV, inside each round: 1.50 (1.40-1.60)" in text


def test_columns_are_aligned() -> None:
    assert report.columns([["a", "bb"], ["long", "1"]]) == "a     bb\n--------\nlong   1"


def test_workplace(tmp_path: Path) -> None:
    with report.workplace(None) as place:
        (place / "x").write_text("")
    assert not place.exists()
    with report.workplace(str(tmp_path / "kept" / "here")) as place:
        (place / "x").write_text("")
    assert (tmp_path / "kept" / "here" / "x").exists()
