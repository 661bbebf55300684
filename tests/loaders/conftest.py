"""Small data sets that several tests share, and a run under each build of the kernel's inner loops."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders import convert
from loaders.native.kernel import builds
from tests.loaders.ffcv_files import ffcv_beton, mixed, python, written  # noqa: F401  (fixtures)
from tests.loaders.native.inner import use_build
from tools import synth


@pytest.fixture(params=builds())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test under every build of the inner loops that this processor can run."""
    use_build(request.param)
    yield request.param
    use_build(builds()[0])


@pytest.fixture(scope="session")
def beton(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 3 classes as a pyramid. Most of them have no level 1/4: it would take too many bytes."""
    out = tmp_path_factory.mktemp("loader") / "train.beton"
    convert(jpeg_folder / "train", out, workers=1)
    return out


@pytest.fixture
def dirty(jpeg_folder: Path, tmp_path: Path) -> Path:
    """Class 0 holds a JPEG cut short, a text, a PNG, a CMYK and a progressive JPEG, all under JPEG names."""
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


@pytest.fixture(scope="session")
def pyramid(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 3 classes, each at levels 1, 1/2 and 1/4."""
    out = tmp_path_factory.mktemp("pyramid") / "train.beton"
    convert(jpeg_folder / "train", out, quality=93, overhead=9, workers=1)
    return out


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """A natural-looking picture, uint8 [120, 160, 3]."""
    rng = np.random.Generator(np.random.Philox(key=[3, 1]))
    canvas = synth.background(rng, 160, 120)
    return (np.clip(canvas, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0).copy()


@pytest.fixture(scope="session")
def odd_files(pixels: np.ndarray) -> dict[str, bytes]:
    """Files as they lie in real data sets, by what is odd about them; all called .JPEG there.

    Decodable: grey, progressive, CMYK, PNG (RGB, RGBA, palette, 16 bit), EXIF-rotated, 1x1, stray bytes at the end.
    Not: empty, text, a JPEG without its second half, a JPEG cut in its header, a PNG without its second half.
    """
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    plain, png = saved(image, "JPEG"), saved(image, "PNG")
    return {
        "grey": saved(image.convert("L"), "JPEG"),
        "progressive": saved(image, "JPEG", progressive=True),
        "cmyk": saved(image.convert("CMYK"), "JPEG"),
        "png": png,
        "rgba": saved(image.convert("RGBA"), "PNG"),
        "palette": saved(image.quantize(64), "PNG"),
        "deep": saved(deep, "PNG"),
        "exif": saved(image, "JPEG", exif=exif),
        "tiny": saved(image.crop((0, 0, 1, 1)), "JPEG"),
        "stray": plain[:-2] + bytes(40) + plain[-2:],
        "empty": b"",
        "text": b"no image at all\n" * 9,
        "half": plain[: len(plain) // 2],
        "header": plain[:100],
        "half_png": png[: len(png) // 2],
    }


@pytest.fixture
def many(jpeg_folder: Path, tmp_path: Path) -> Path:
    """312 files, ten jobs: the small folder 13 times over, by links."""
    files = sorted((jpeg_folder / "train").rglob("*.jpg"))
    for k in range(13):
        for path in files:
            target = tmp_path / "many" / path.parent.name / f"{k:02d}_{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return tmp_path / "many"


@pytest.fixture
def odd_folder(tmp_path: Path, odd_files: dict[str, bytes]) -> Path:
    """The odd files as one class of an image folder, and two sound ones as another."""
    for name, data in odd_files.items():
        path = tmp_path / "odd" / "a" / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "odd" / "b").mkdir()
    for k in range(2):
        (tmp_path / "odd" / "b" / f"{k}.jpg").write_bytes(odd_files["exif"])
    return tmp_path / "odd"


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    """The image as a file of that format."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
