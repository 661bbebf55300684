from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks import __main__ as cli
from benchmarks.evidence import photographs
from benchmarks.evidence.arms import MAIN, arms
from benchmarks.evidence.shared_report import claim
from benchmarks.harness.contestant import Job

BASE, LESS, EQUAL = (arm.name for arm in MAIN)


def made(arm: str, seed: int, top1: float, *stages: tuple[int, int]) -> dict[str, Any]:
    """What a run leaves in the report; stages: resolution and steps, of batches of 10."""
    rows = [{"resolution": resolution, "steps": steps, "batch": 10} for resolution, steps in stages]
    images = sum(10 * steps for _, steps in stages)
    compute = {each.name: each.compute for each in arms(True, ())}.get(arm, 2 / 3)
    return {
        "model": "net", "arm": arm, "seed": seed, "top1": top1, "compute": compute,
        "images": images, "samples": 100, "stages": rows,
    }  # fmt: skip


def rates(**speeds: dict[int, list[float]]) -> dict[str, Any]:
    """Windows: images a second of each loader at each resolution."""
    found = [
        {"loader": loader, "resolution": resolution, "rates": each}
        for loader, of in speeds.items() for resolution, each in of.items()
    ]  # fmt: skip
    return {"model": "net", "threads": 1, "batch": 10, "rates": found}


MEASURED = rates(ours={48: [40.0, 80.0], 112: [10.0, 20.0]}, torchvision={48: [5.0, 10.0], 112: [5.0, 10.0]})


def test_wall_time_is_that_of_the_steps_at_the_speed_of_each_round() -> None:
    run = made(LESS, 0, 0.5, (48, 8), (112, 2))
    assert photographs.wall_times(run, MEASURED, "ours") == pytest.approx([80 / 40 + 20 / 10, 80 / 80 + 20 / 20])
    assert photographs.wall_times(run, MEASURED, "ours", until=9) == pytest.approx([3.0, 1.5])
    assert photographs.wall_times(run, MEASURED, "torchvision", until=4) == pytest.approx([8.0, 4.0])


def test_arms_are_compared_seed_by_seed_and_in_wall_time() -> None:
    runs = [
        made(BASE, 0, 0.50, (112, 8)), made(BASE, 1, 0.54, (112, 8)), made(LESS, 0, 0.53, (48, 8), (112, 2)),
        made("Lanczos", 0, 0.52, (48, 8), (112, 2)), made("mine", 0, 0.51, (112, 5)), made("mine", 7, 0.9, (112, 5)),
    ]  # fmt: skip
    base, less, lanczos, mine = photographs.compare({"runs": runs, "windows": [MEASURED]})
    assert base["difference"] is None and base["seeds"] == 2 and base["top1"]["mean"] == pytest.approx(0.52)
    assert less["difference"]["mean"] == pytest.approx(0.03) and less["passes"] == pytest.approx(1.0)
    assert lanczos["difference"]["mean"] == pytest.approx(-0.01) and lanczos["against"] == LESS
    assert mine["difference"]["mean"] == pytest.approx(-0.02) and mine["against"] == LESS  # seed 7 has no partner
    assert less["ours"]["seconds"]["median"] == pytest.approx(3.0)
    assert less["ours"]["faster_than_baseline"]["median"] == pytest.approx(2.0)
    assert less["ours"]["faster_than_baseline_on_torchvision"]["median"] == pytest.approx(4.0)
    assert base["torchvision"]["faster_than_baseline_on_torchvision"]["median"] == pytest.approx(1.0)


def test_an_arm_at_a_resolution_that_is_not_measured_yet_has_no_wall_time() -> None:
    runs = [made(BASE, 0, 0.5, (112, 8)), made("mine", 0, 0.6, (64, 9), (112, 1))]
    base, mine = photographs.compare({"runs": runs, "windows": [MEASURED]})
    assert "ours" in base and "ours" not in mine and mine["top1"]["mean"] == pytest.approx(0.6)


def test_the_resolutions_of_a_curriculum_of_ones_own_are_measured(photos: list[str], tmp_path: Path) -> None:
    report, curriculum = tmp_path / "E.json", tmp_path / "mine.yaml"
    assert cli.main([*photos, "--seeds", "1"]) == 0  # windows for the published resolutions
    curriculum.write_text(
        "stages: [{resolution: 112, magnitude: 1, compute: 0.5}, {resolution: 224, magnitude: 9, compute: 0.5}]"
    )
    assert cli.main([*photos, "--seeds", "1", "--curricula", str(curriculum)]) == 0
    found = json.loads(report.read_text())
    assert {rate["resolution"] for rate in found["windows"][0]["rates"]} == {32, 46, 64} | {
        stage["resolution"] for stage in found["runs"][-1]["stages"]
    }
    assert found["results"][-1]["arm"] == "mine" and found["results"][-1]["ours"]["seconds"]["median"] > 0


def test_a_stop_at_any_time_leaves_balanced_runs() -> None:
    found = photographs.order(("a", "b"), arms(True, ()), 2)
    assert [(model, seed) for model, _, seed in found[:12:3]] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert [arm.name for _, arm, _ in found[:3]] == [BASE, LESS, EQUAL]
    assert not {arm.name for _, arm, _ in found[12:]} & {BASE, LESS, EQUAL} and len(set(map(str, found))) == len(found)


@pytest.fixture
def photos(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command on a handful of images, its windows replaced by set speeds; counts trainings in `trained`."""
    data = tmp_path / "photos"
    data.mkdir()
    for name, source in (("train", "train"), ("test", "val")):
        (data / name).symlink_to(jpeg_folder / source, target_is_directory=True)
    monkeypatch.setitem(photographs.SMALL["options"], "batch", 8)
    monkeypatch.setitem(photographs.SMALL["options"], "progress", False)
    monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: False)  # noqa: ARG005
    monkeypatch.setattr(photographs, "measure", speeds)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # noqa: ARG005
    work = ["--threads", "1", "--work", str(tmp_path / "work"), "--json", str(tmp_path / "E.json")]
    return ["photographs", "--data", str(data), "--models", "small_convnet", "--size", "64", "--epochs", "2", *work]


def speeds(jobs: list[Job], rounds: int, seconds: float, work: Path) -> list[list[float]]:
    """In place of `train_window.measure`."""
    assert rounds and seconds and work.is_dir()
    assert all(Path(job.folder).is_dir() and Path(job.pyramid).is_file() for job in jobs)
    return [[100.0 if job.options["loader"] == "ours" else 50.0] * rounds for job in jobs]


def test_the_whole_is_continued_and_repeats_nothing(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[str] = []
    train_arm = photographs.train_arm

    def counted(model: str, arm: Any, seed: int, *rest: Any) -> dict[str, Any]:
        if len(trained) == 1:
            trained.append("stopped")
            raise KeyboardInterrupt
        trained.append(f"{arm.name} {seed}")
        return train_arm(model, arm, seed, *rest)

    monkeypatch.setattr(photographs, "train_arm", counted)
    report = tmp_path / "E.json"
    assert cli.main([*photos, "--seeds", "1"]) == 130
    assert [run["arm"] for run in json.loads(report.read_text())["runs"]] == [BASE]
    picture = tmp_path / "E.png"
    assert cli.main([*photos, "--seeds", "1", "--ablations", "--png", str(picture)]) == 0
    names = [arm.name for arm in arms(True, ())]
    assert trained == [f"{BASE} 0", "stopped", *(f"{name} 0" for name in names[1:])]
    found = json.loads(report.read_text())
    assert [result["arm"] for result in found["results"]] == names
    assert {stage["resolution"] for stage in found["runs"][1]["stages"]} == {32, 46, 64}
    assert "x: the baseline's with torchvision's" in capsys.readouterr().out
    with Image.open(picture) as drawn:
        assert drawn.width > 1000
    assert cli.main([*photos, "--seeds", "2", "--minutes", "1e-9"]) == 0  # no time for another one
    assert len(trained) == len(names) + 1
    assert cli.main([*photos[:-1], str(report), "--epochs", "3"]) == 2
    assert "differs in epochs" in capsys.readouterr().err


def test_a_training_that_another_process_has_begun_is_left_to_it_and_the_windows_too(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def trained(model: str, arm: Any, seed: int, config: Any) -> dict[str, Any]:
        done.append(Path(config.out).name)
        return {**made(arm.name, seed, 0.5, (64, 6)), "model": model}

    def measured(*arguments: Any) -> list[list[float]]:
        done.append("windows")
        return speeds(*arguments)

    monkeypatch.setattr(photographs, "train_arm", trained)
    monkeypatch.setattr(photographs, "measure", measured)
    command = [*photos, "--seeds", "1", "--remeasure"]
    assert cli.main([*command, "--minutes", "1e-9"]) == 0
    (beton,) = (tmp_path / "work").glob("*-test.beton")
    others = f"small_convnet-{LESS.replace(' ', '-').replace('/', 'of')}-0"
    with claim(tmp_path / "work" / f"{beton.stem}-64px-2" / f"{others}.lock"):
        assert cli.main(command) == 0
    assert cli.main(command) == 0
    first = [f"small_convnet-{name}-0" for name in ("baseline", "EfficientTrain++,-equal")]
    assert done == ["windows", *first, others, "windows"]


def test_data_without_a_folder_to_judge_on_is_one_line(photos: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*photos, "--judge", "validation"]) == 2
    assert "must have a folder validation/ or val/" in capsys.readouterr().err
