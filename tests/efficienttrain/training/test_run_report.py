from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from efficienttrain.training.logbook import Logbook
from efficienttrain.training.run_report import summarise, table, write_report


def lines(evaluations: bool = True) -> list[dict[str, Any]]:
    """The log of two stages of two lines each, the second one replayed."""
    log: list[dict[str, Any]] = [{"kind": "begin", "step": 0, "identity": {"model": "net"}}]
    for stage, resolution in enumerate((96, 224)):
        shared = {"stage": stage, "progress": 0.5 * stage}
        layout = {"ranks": 2, "accumulation": 2, "micro": 16, "factor": 1 + stage}
        log.append(
            {"kind": "layout", "step": 10 * stage, "resolution": resolution, "magnitude": None, **layout, **shared}
        )
        for half in (1, 2):
            done = {"step": 10 * stage + 5 * half, "progress": 0.5 * stage + 0.25 * half, "stage": stage}
            facts = {"loss": 3.0 - stage, "lr": 1e-3, "images": 320, "loaded": 320 // (1 + stage), "seconds": 2.0}
            log.append({"kind": "train", **done, **facts, "stall": 0.1 * half, "rate": 160.0})
        scores = {"top1": 0.5 + 0.1 * stage, "top5": 0.9, "loss": 1.0, "top1_stage": 0.4, "ema_top1": 0.55}
        if evaluations:
            log.append({"kind": "evaluate", **done, **scores})
    return log


def test_sums_are_those_of_the_log() -> None:
    made = summarise(lines())
    assert (made["seconds"], made["images"], made["loaded"]) == (8.0, 1280, 960)
    assert made["stall"] == pytest.approx(0.15)
    assert made["best_top1"] == made["last"]["top1"] == 0.6
    first, second = made["stages"]
    assert (first["steps"], first["batch"], first["rate"], first["factor"]) == (10, 64, 160.0, 1)
    assert (second["steps"], second["loaded"], second["factor"], second["loss"]) == (10, 320, 2, 2.0)
    assert [point["seconds"] for point in made["curve"]] == [2.0, 4.0, 6.0, 8.0]


def test_the_table_has_a_line_for_each_stage() -> None:
    text = table(summarise(lines())).splitlines()
    assert len(text) == 4
    assert text[1].split()[:4] == ["1", "96", "-", "64"]
    assert "1,280 images (960 loaded) in 8.0 s" in text[-1]
    assert "top-1 60.00%" in text[-1]


@pytest.mark.parametrize("evaluations", [True, False])
def test_a_report_is_written_with_its_picture(tmp_path: Path, evaluations: bool) -> None:
    log = Logbook(tmp_path)
    for line in lines(evaluations):
        kind, step = line.pop("kind"), line.pop("step")
        log.write(kind, step, **line)
    log.close()
    made = write_report(tmp_path, show=False)
    assert json.loads((tmp_path / "report.json").read_text()) == made
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width > 1000
