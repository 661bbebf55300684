"""Simulated sets of a few thousand samples go through every part, and the report has what the table shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__, scale
from loaders.sources import open_dataset


def test_the_writer_is_measured_apart_from_the_kernels_work_for_it(tmp_path: Path) -> None:
    report = scale.run(images=300, rounds=1, parts=["writer"], work=str(tmp_path / "new"))
    small, large = report["results"]["writer"]
    for row in (small, large):
        assert row["images_s_own_cpu"]["median"] >= row["images_s_cpu"]["median"] > 0
    assert (small["image_bytes"], large["image_bytes"]) == (scale.THUMBNAIL, scale.PHOTOGRAPH)
    assert "images of 110,000 bytes" in scale.text(report).splitlines()[-1]


def test_the_command_line_knows_the_parts() -> None:
    assert __main__.SCALE == scale.PARTS


def test_a_conversion_resumes_at_90_percent(tmp_path: Path) -> None:
    (tmp_path / "photos-700.part" / "n00000000").mkdir(parents=True)  # of a run that was stopped
    report = scale.run(images=700, rounds=1, parts=["resume"], work=str(tmp_path))
    assert [row["listing"] for row in report["results"]["resume"]] == ["kept", "anew"]
    assert (tmp_path / "photos-700").is_dir()
    assert "first image after" in scale.text(report).splitlines()[-1]


def test_a_simulated_set_is_a_sound_pyramid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "BLOCK", 700)
    path, seconds = scale._simulated_set(tmp_path, 2000)
    assert seconds > 0
    with open_dataset(path) as data:
        assert data.labels([0, 1, 1999]).tolist() == [0, 1, 999]
        assert data.name(1999) == "0000000000001999"
        assert len({data.read_record(k, 1) for k in range(0, 2000, 99)}) == 1


def test_a_set_is_opened_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "STARTS", {"quasi, resumed": ("quasi", 0.5)})
    report = scale.run(images=1500, rounds=1, parts=["set"], work=str(tmp_path))
    step, row = report["results"]["set"]
    assert step["last_step_s"] > 0 and row["order"] == "quasi, resumed"
    assert all(row[what]["median"] > 0 for what in ("open_s", "first_batch_s", "later_batch_s"))
    assert not list(tmp_path.iterdir())
    assert "quasi, resumed" in scale.text(report).splitlines()[-1]
