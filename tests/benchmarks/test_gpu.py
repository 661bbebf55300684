"""`benchmarks gpu` where there is none, and what becomes of its parts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import gpu
from benchmarks.harness import machine


@pytest.mark.parametrize("arguments", [["gpu", "--data", "."], ["throughput", "--data", ".", "--device", "cuda"]])
def test_no_gpu_is_told_in_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(arguments) == 2
    assert capsys.readouterr().err == (
        "error: this needs a GPU that torch can use, there is none here; throughput and ops take `--device cpu`.\n"
    )


def test_parts_fail_alone_and_the_report_says_so(
    monkeypatch: pytest.MonkeyPatch, jpeg_folder: Path, tmp_path: Path
) -> None:
    ran: dict[str, list[str]] = {}

    def part(name: str, arguments: list[str], place: Path) -> dict[str, Any]:
        ran[name] = arguments
        return real(name, [sys.executable, "-c", "import sys; print('{}'); sys.exit('ops' in sys.argv)", name], place)

    real = gpu._part
    monkeypatch.setattr(gpu, "_part", part)
    monkeypatch.setattr(machine, "require_gpu", lambda: None)
    monkeypatch.setattr(machine, "cuda", lambda: {"gpu": "a GPU"})
    report = gpu.run(str(jpeg_folder / "train"), threads=1, work=str(tmp_path))
    assert list(ran) == ["tests", "check torch", "check ffcv", "check dali", "ops", "throughput"]
    assert ran["throughput"][:4] == [sys.executable, "-m", "benchmarks", "throughput"]
    assert [name for name, part in report["parts"].items() if part["status"]] == ["ops"]
    assert report["notes"] == ["ops failed: {}"] and report["parts"]["check torch"]["report"] == {}
    assert "a GPU" in gpu.text(report) and "failed" in gpu.text(report)
    assert str(tmp_path) not in json.dumps(report)


@pytest.mark.gpu
def test_the_check_itself(beton_of_photos: Path) -> None:
    from benchmarks import gpu_check

    assert gpu_check.fidelity(str(beton_of_photos), "torch", 2)["least"] > 50
    assert gpu_check.waits(str(beton_of_photos), "torch", 2, batches=3) == {}


@pytest.fixture
def beton_of_photos(jpeg_folder: Path, tmp_path: Path) -> Path:
    from loaders import convert

    convert(jpeg_folder / "train", tmp_path / "train.beton", workers=1)
    return tmp_path / "train.beton"
