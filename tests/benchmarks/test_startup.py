"""Start-up is measured in processes of their own, and the report has what the table shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import startup
from loaders import convert


def test_the_torch_backend_starts_and_changes_its_stage(
    jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "KINDS", ("torch",))
    convert(jpeg_folder / "train", tmp_path / "x.beton", workers=1)
    report = startup.run(str(tmp_path / "x.beton"), threads=1, rounds=1, batch_size=8)
    (result,) = report["results"]
    assert 0 < result["stage"]["median"] < result["first"]["median"]
    assert "torch" in startup.text(report).splitlines()[-1]


def test_a_folder_is_refused(jpeg_folder: Path) -> None:
    with pytest.raises(ValueError, match="must be a beton"):
        startup.run(str(jpeg_folder), threads=1)


def test_without_ffcv_only_ours_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "find_spec", lambda _: None)
    monkeypatch.setattr(startup, "_start", lambda *_: {"first": 1.0, "stage": 1.0})
    (tmp_path / "x.beton").touch()
    report = startup.run(str(tmp_path / "x.beton"), threads=1, rounds=1)
    assert [result["contestant"] for result in report["results"]] == ["torch"]
    assert "  - Skipped: FFCV is not available here." in startup.text(report).splitlines()
