"""A small ladder, and a run under each build of the kernel's hot loops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders import convert
from loaders.native.library import library


@pytest.fixture(params=["portable", "best"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test under both builds of the hot loops."""
    library().et_force_isa(request.param.encode())
    yield request.param
    library().et_force_isa(b"best")


@pytest.fixture(scope="session")
def beton(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 3 classes as a ladder."""
    out = tmp_path_factory.mktemp("loader") / "train.beton"
    convert(jpeg_folder / "train", out, workers=1)
    return out
