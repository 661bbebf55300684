from __future__ import annotations

import pytest

from benchmarks import png


def test_one_worker_and_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "IMAGES", 16)
    report = png.run(threads=2, rounds=1)
    assert [result["workers"] for result in report["results"]] == [1, 2]
    assert all(result["images_s"]["median"] > 0 for result in report["results"])
    assert "limited by pillow" in png.text(report)


def test_one_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        png.run(threads=1)
