"""The operations' benchmark: everybody does the same work, and the report is complete."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import __main__ as command
from benchmarks import ops, ops_work
from benchmarks.harness.contestant import Job

SIDE = 32


@pytest.fixture(scope="module")
def batch() -> ops_work.Batch:
    return ops_work.Batch.make(4, SIDE, "cpu", 0)


def stacked(made: object) -> torch.Tensor:
    """Whatever form a library gives its pictures in, as [n, 3, B, B]."""
    if isinstance(made, torch.Tensor):
        return made
    assert isinstance(made, list)
    if isinstance(made[0], Image.Image):
        return torch.from_numpy(np.stack([np.array(picture) for picture in made])).permute(0, 3, 1, 2)
    return torch.stack(made)


@pytest.mark.parametrize("library", ["timm", "torchvision", "fft"])
def test_they_do_what_ours_does(batch: ops_work.Batch, library: str) -> None:
    pytest.importorskip(library if library != "fft" else "torch")
    ours, theirs = ops_work.ours(batch), ops_work.LIBRARIES[library](batch)
    assert set(ours) == set(ops.names()) >= set(theirs)
    drawn = {ops_work.RANDAUGMENT, ops_work.ERASE, ops_work.MIX}
    for name in theirs.keys() - drawn:
        mine, other = stacked(ours[name]()), stacked(theirs[name]())
        assert mine.shape == other.shape
        gap = (mine.float() - other.float()).abs().mean().item()
        least = (mine.float() - mine.float().flip(0)).abs().mean().item() / 4  # two pictures' distance from each other
        assert gap < (3 if library == "timm" else least), name
    for name in drawn & theirs.keys():
        theirs[name]()


def test_a_round_times_every_operation() -> None:
    chosen = {"resolutions": [SIDE, 16], "ops": ["Invert", ops_work.FOURIER]}
    work = ops_work.build(Job("ours", 0, torch.get_num_threads(), 4, "", "", "", 0, chosen))
    before = work.facts()
    images, seconds = work.round(0.01)
    assert images == work.delivered and images % 4 == 0 and seconds > sum(work.facts().values())
    assert work.facts().keys() == before.keys() == {f"{op}@{side}" for op in chosen["ops"] for side in (SIDE, 16)}
    assert all(0 < value < 1 for value in work.facts().values())


def test_each_operation_gets_the_whole_window(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"resolutions": [SIDE, 16], "ops": ["Invert", ops_work.FOURIER]}
    work = ops_work.build(Job("ours", 0, torch.get_num_threads(), 4, "", "", "", 0, chosen))
    asked: list[int] = []

    def clock(_: object, times: int) -> float:
        asked.append(times)
        return times * 0.004

    monkeypatch.setattr(work, "_clock", clock)
    work.round(1e-9)  # one call of each, which takes 4 ms by this clock
    assert asked == [1] * 4
    images, _ = work.round(0.01)
    assert asked[4:] == [3] * 4 and images == 4 * 3 * 4  # the fewest calls that fill 10 ms
    assert set(work.facts().values()) == {0.001}


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "LABELS", {"ours": "ours", "fft": "torch.fft", "kornia": "kornia"})
    options = ["--resolutions", "32", "224", "--ops", "randaugment", "fourier", "--device", "cpu", "--batch-size", "2"]
    window = ["--rounds", "2", "--seconds", "0.001"]
    files = ["--json", str(tmp_path / "o.json"), "--png", str(tmp_path / "o.png")]
    assert command.main(["ops", *options, *window, *files]) == 0
    said = capsys.readouterr().out
    report = json.loads((tmp_path / "o.json").read_text())
    found = {(r["op"], r["resolution"], r["contestant"]): r for r in report["results"]}
    assert {("RandAugment", 224, "ours"), (ops_work.FOURIER, 32, "fft")} <= found.keys()
    assert (ops_work.FOURIER, 224, "ours") not in found
    ratio = next(r for r in report["ratios"] if r["over"] == "fft")
    theirs, mine = (found[ops_work.FOURIER, 32, name]["seconds"] for name in ("fft", "ours"))
    assert ratio["median"] == pytest.approx(np.median(np.divide(theirs, mine)))
    assert {"cpu", "load_before"} <= report["machine"].keys() and report["settings"]["threads"] == 1
    assert "torch.fft" in said and "B = 32, us / image" in said
    assert report["target"] is None  # without timm
    assert find_spec("kornia") or report["notes"][0].startswith("Skipped: kornia is not available here (ModuleNotFound")
    assert (tmp_path / "o.png").stat().st_size > 10_000
    assert str(tmp_path) not in json.dumps(report)


def test_the_aim_is_timms_large_pictures_over_our_small_ones() -> None:
    name = ops_work.RANDAUGMENT
    times = {("ours", name, 96): [1.0, 2.0, 1.0], ("timm", name, 96): [9.0] * 3, ("timm", name, 224): [5.0, 6.0, 7.0]}
    assert ops._target(times, 96) == {"resolution": 96, "aim": 4.0, "median": 5.0, "q1": 4.0, "q3": 6.0}


def test_operations_are_found_by_parts_of_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert ops._chosen(["ROT", "shear"]) == ["Rotate", "Shear X", "Shear Y"]
    assert ops._chosen(None) == ops.names()
    assert command.main(["ops", "--ops", "blur"]) == 2
    assert "`--ops` takes parts of names, got 'blur'; there are Fourier crop of 224, " in capsys.readouterr().err
