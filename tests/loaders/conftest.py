"""A small ladder, a folder of odd files, and a run under each build of the kernel's hot loops."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders import convert
from loaders.native.kernel import builds, use_build


@pytest.fixture(params=builds())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test under every build of the hot loops that this processor can run."""
    use_build(request.param)
    yield request.param
    use_build(builds()[0])


@pytest.fixture(scope="session")
def beton(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 3 classes as a ladder."""
    out = tmp_path_factory.mktemp("loader") / "train.beton"
    convert(jpeg_folder / "train", out, workers=1)
    return out


@pytest.fixture
def dirty(jpeg_folder: Path, tmp_path: Path) -> Path:
    """Class 0 holds a JPEG cut short, a text, a PNG, a CMYK and a progressive JPEG, all under JPEG names."""
    from PIL import Image

    root = tmp_path / "dirty"
    shutil.copytree(jpeg_folder / "train", root)
    names = sorted((root / "class000").iterdir())
    names[0].write_bytes(names[0].read_bytes()[:900])
    names[1].write_text("no image")
    for name, mode, kind, options in (
        (names[2], "RGB", "PNG", {}),
        (names[3], "CMYK", "JPEG", {}),
        (names[4], "RGB", "JPEG", {"progressive": True}),
    ):
        with Image.open(name) as image:
            image.convert(mode).save(name, kind, **options)
    return root
