from __future__ import annotations

from pathlib import Path

import pytest
from numpy.random import _philox

from benchmarks import kernels
from loaders import LoaderError
from loaders.native.kernel import builds, library


def test_a_kernel_against_itself(monkeypatch: pytest.MonkeyPatch, jpeg_folder: Path) -> None:
    monkeypatch.setattr(kernels, "SAMPLES", 16)
    monkeypatch.setattr(kernels, "TURN", 8)
    report = kernels.run(data=str(jpeg_folder / "train"), kernels=[library()._name] * 2, resolutions=[32], rounds=2)
    (result,) = report["results"]
    assert result["same_pixels"] and [len(spent) for spent in result["microseconds"]] == [2, 2]
    assert all(time > 0 for spent in result["microseconds"] for time in spent)
    assert result["over_first"][0]["median"] == 1
    assert "the same pixels" in kernels.text(report) and builds()[0] in kernels.text(report)


def test_a_library_that_is_no_kernel_is_refused(jpeg_folder: Path) -> None:
    with pytest.raises(LoaderError, match="of another version"):
        kernels.run(data=str(jpeg_folder / "train"), kernels=[str(_philox.__file__)], rounds=1)
