"""Fidelity as a whole, on a small folder: crops and flips line up with the kernel's, and the report is complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import fidelity


def test_report(jpeg_folder: Path, tmp_path: Path) -> None:
    report = fidelity.run(str(jpeg_folder / "val"), [32, 224], threads=1, crops=12, work=str(tmp_path))
    found = {(result["resolution"], result["path"]): result for result in report["results"]}
    assert list(found) == [(resolution, path) for resolution in (32, 224) for path in ("ours", "ours-full", "official")]
    # A crop, flip or grid that did not line up would leave far less than this.
    assert min(found[key]["psnr"]["q1"] for key in found if key[1] == "ours-full") > 30
    assert found[224, "official"]["psnr"]["median"] == 100.0
    gap = found[32, "ours"]["psnr"]["median"] - found[32, "official"]["psnr"]["median"]
    assert found[32, "ours"]["minus_official"] == pytest.approx(gap)
    views = {tuple(list(view.values())[:4]): view["psnr"]["median"] for view in report["evaluation"]}
    assert len(views) == len(report["evaluation"]) == 2 * (2 * 3 * 3 + 3)
    assert min(views[32, mode, "bicubic", "ours"] for mode in ("center", "squash", "border")) > 45
    assert views[32, "center", "fourier", "ours"] > views[32, "center", "fourier", "official"] - 0.5
    assert (report["settings"]["images"], report["settings"]["crops"]) == (6, 12)
    assert str(tmp_path) not in json.dumps(report)


def test_command_line_takes_a_beton(jpeg_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from loaders import convert

    convert(jpeg_folder / "val", tmp_path / "val.beton", workers=1)
    data = ["--data", str(tmp_path / "val.beton"), "--png", str(tmp_path / "f.png"), "--json", str(tmp_path / "f.json")]
    assert command.main(["fidelity", *data, "--resolutions", "32", "--crops", "3", "--threads", "1"]) == 0
    assert "minus official" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text())["settings"]["crops"] == 3
    assert (tmp_path / "f.png").exists()
