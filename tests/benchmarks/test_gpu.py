"""`benchmarks gpu`: what becomes of its parts, and the parts themselves, small and on a CPU."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import gpu, gpu_check
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


NETWORK = f"{Path(__file__).parents[1] / 'efficienttrain' / 'training' / 'networks.py'}:tiny"


def script(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_parts_fail_alone_and_the_report_is_written_after_each(
    monkeypatch: pytest.MonkeyPatch, jpeg_folder: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "require_gpu", lambda: None)
    monkeypatch.setattr(machine, "cuda", lambda: {"gpu": "a GPU"})
    monkeypatch.setattr(gpu, "LEAST", 0.0)
    saved = tmp_path / "g.json"
    seen = f"import json; n = len(json.load(open({str(saved)!r}))['parts']); print(json.dumps({{'parts before': n}}))"
    parts = [
        gpu.Part("first", script('print(\'{"x": {"rate": 2.5}}\')'), 1.0),
        gpu.Part("second", script(seen), 1.0),
        gpu.Part("broken", script("print('{\"y\": 1}'); raise SystemExit('no memory')"), 1.0),
        gpu.Part("slow", script('import time; print(\'{"z": 3}\\n{"cut\', flush=True); time.sleep(60)'), 0.03),
        gpu.Part("absent", script(""), 1.0, ("no_such_package.inside",)),
    ]
    monkeypatch.setattr(gpu, "parts", lambda *_: parts)
    report = gpu.run(
        str(jpeg_folder / "train"), threads=1, work=str(tmp_path / "work"), budget=100, json_path=str(saved)
    )
    assert json.loads(saved.read_text()) == report
    found = report["parts"]
    assert [part["status"] for part in found.values()] == ["ok", "ok", "failed", "out of time", "left out"]
    assert found["second"]["findings"] == {"parts before": 1}
    assert found["broken"]["findings"] == {"y": 1} and found["slow"]["findings"] == {"z": 3}
    assert report["notes"][0] == "broken: failed: no memory"
    assert report["notes"][-1] == "absent: left out: no_such_package.inside not installed"
    assert "x: rate 2.5" in gpu.text(report) and "out of time" in gpu.text(report)
    assert str(tmp_path) not in json.dumps(report)


def test_findings_are_kept_while_a_part_runs_and_its_children_end_with_it() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    kept: list[dict[str, Any]] = []
    part = gpu.Part("slow", script(f"print('{{\"z\": 3}}', flush=True); {child}"), 1.0)
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "LEAST", 0.0)
        found = gpu._run(part, 3.0, kept.append)
    assert time.monotonic() - began < 30  # the child holds the output open
    assert kept[0] == {**kept[0], "status": "running", "findings": {"z": 3}} and found["status"] == "out of time"


def test_no_part_begins_without_time_left() -> None:
    assert gpu._run(gpu.Part("late", script("print(1)"), 1.0), 1.0)["last"] == "no time left"


def test_the_most_telling_parts_come_first(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "train").mkdir()
    parts = gpu.parts(Path("p"), Path("f"), tmp_path / "train", 4, tmp_path)
    names = [part.name for part in parts if not part.absent]
    assert names == ["tests", "parity", "pixels", "loading", "training", "dali", "ffcv", "curriculum"]
    assert gpu.parts(Path("p"), Path("f"), tmp_path, 4, tmp_path)[-1].absent == "no val/ folder beside the data"


@pytest.fixture(scope="module")
def check(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> gpu_check.Check:
    from loaders import convert

    beton = tmp_path_factory.mktemp("gpu") / "train.beton"
    convert(jpeg_folder / "train", beton, workers=1)
    return gpu_check.Check(
        str(beton),
        threads=1,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        batch=4,
        seconds=0.01,
        folder=str(jpeg_folder / "train"),
        models=(NETWORK,),
        resolutions=(32,),
    )


@pytest.mark.parametrize("part", ["parity", "pixels", "loading"])
def test_each_part_finds_something(check: gpu_check.Check, part: str) -> None:
    found: dict[str, Any] = dict(gpu_check.PARTS[part](check))
    assert found and json.dumps(found)
    if part == "parity":
        assert len(found) == 8 and all(gap["mean"] < 0.01 for gap in found.values())
    if part == "pixels":
        assert found["psnr torch 32"]["least"] > 50
    if part == "loading":
        assert found["torch 32 plain"]["images_per_second"] > 0


def test_training_is_measured_with_the_loader_and_with_one_batch(check: gpu_check.Check) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("torchvision")
    found: dict[str, Any] = dict(gpu_check.training(check))
    line = found[f"{NETWORK} 32"]
    assert line["ratio"] == pytest.approx(line["loader"] / line["resident"]) and line["ratio"] > 0
    assert found["torchvision 32"]["loader"] > 0


@pytest.mark.gpu
def test_nothing_waits(check: gpu_check.Check) -> None:
    assert gpu_check.waits(check, "torch", batches=3) == {}
