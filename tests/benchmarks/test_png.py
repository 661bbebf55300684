from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import png


def test_one_worker_and_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "IMAGES", 16)
    report = png.run(threads=2, rounds=1, work=str(tmp_path / "new"))
    assert [result["workers"] for result in report["results"]] == [1, 2]
    assert all(result["images_s"]["median"] > 0 for result in report["results"])
    assert "limited by pillow" in png.text(report)


def test_one_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        png.run(threads=1)


def test_outside_of_a_checkout_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tools", None)
    with pytest.raises(ValueError, match="run it in a checkout"):
        png.run(threads=2, rounds=1)
