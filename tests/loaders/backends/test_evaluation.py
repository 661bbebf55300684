"""Evaluation pixels against Pillow and torchvision's own transforms."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from loaders import convert, native
from loaders.backends.decoder import Decoder
from loaders.plan import CropGeometry
from loaders.sources import open_dataset
from loaders.transforms.pipeline import OutputFormat
from tests.images import picture

FILL = (124, 116, 104)
SIZES = [(200, 150), (150, 200), (333, 250), (90, 61), (37, 52), (64, 64), (400, 120)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Image.Image]]:
    """A folder of JPEGs of several sizes, some larger and some smaller than the crops, and their pixels by Pillow."""
    folder, images = tmp_path_factory.mktemp("photos") / "val", []
    (folder / "a").mkdir(parents=True)
    for key, (width, height) in enumerate(SIZES):
        file = io.BytesIO()
        Image.fromarray(picture(width, height, key)).save(file, "JPEG", quality=92, subsampling=2 * (key % 2))
        (folder / "a" / f"{key}.jpg").write_bytes(file.getvalue())
        images.append(Image.open(file).convert("RGB"))
    return folder, images


@pytest.fixture(scope="module", params=["folder", "pyramid"])
def data(
    request: pytest.FixtureRequest, photos: tuple[Path, list[Image.Image]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Image.Image]]:
    folder, images = photos
    if request.param == "folder":
        return folder, images
    beton = tmp_path_factory.mktemp("photos") / "val.beton"
    convert(folder, beton, workers=1)
    return beton, images


def delivered(path: Path, resolution: int, **geometry: Any) -> NDArray[np.uint8]:
    """What a decoder of the torch backend makes of every sample, [n, B, B, 3]."""
    format = OutputFormat.pixels(resolution)
    with open_dataset(path) as dataset:
        decoder = Decoder(
            dataset,
            train=False,
            seed=0,
            num_workers=1,
            on_error="raise",
            filter="fourier",
            max_level=None,
            geometry=CropGeometry(**geometry),
        )
        batch = decoder.plan(format, 0, np.arange(len(dataset)))
        out = np.zeros((len(dataset), 3, resolution, resolution), np.uint8)
        ticket = decoder.submit(format, batch.samples, out)
        assert ticket.wait(30) and not ticket.status.any(), ticket.message(0)
        decoder.pool.close()
    return out.transpose(0, 2, 3, 1)


def bordered(side: int, resolution: int, interpolation: InterpolationMode) -> Callable[[Image.Image], Image.Image]:
    """The long side to `side` pixels, then the centre on a canvas of the mean colour: timm's mode "border"."""

    def transform(image: Image.Image) -> Image.Image:
        ratio = max(image.size) / side
        width, height = (round(size / ratio) for size in image.size)
        small = Resize((height, width), interpolation)(image)
        canvas = Image.new("RGB", (max(width, resolution), max(height, resolution)), FILL)
        canvas.paste(small, (max(0, resolution - width) // 2, max(0, resolution - height) // 2))
        return CenterCrop(resolution)(canvas)

    return transform


def errors(got: NDArray[np.uint8], images: list[Image.Image], transform: Callable[[Any], Any]) -> list[float]:
    """Each sample's PSNR in dB, at most 100."""
    wanted = [np.asarray(transform(image), np.float64) for image in images]
    mean_square = [np.square(ours - theirs).mean() for ours, theirs in zip(got, wanted, strict=True)]
    return [float(10 * np.log10(255**2 / max(error, 1e-5))) for error in mean_square]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_modes_and_interpolations_are_pillows(
    data: tuple[Path, list[Image.Image]], mode: str, interpolation: str
) -> None:
    path, images = data
    resample = InterpolationMode(interpolation)
    for resolution, crop_pct in ((64, 0.875), (97, 1.0)):
        got = delivered(path, resolution, crop_mode=mode, interpolation=interpolation, crop_pct=crop_pct)
        side = int(resolution / crop_pct)
        resize = Resize((side, side) if mode == "squash" else side, resample)
        usual = Compose([resize, CenterCrop(resolution)])
        transform = bordered(side, resolution, resample) if mode == "border" else usual
        found = errors(got, images, transform)
        assert np.median(found) >= 50 and min(found) >= 46, (resolution, found)


def test_an_explicit_resize_size_is_torchvisions(data: tuple[Path, list[Image.Image]]) -> None:
    path, images = data
    for resize_size in (80, 50):  # less than the crop: padded with black
        got = delivered(path, 64, resize_size=resize_size, interpolation="bilinear")
        transform = Compose([Resize(resize_size, InterpolationMode.BILINEAR), CenterCrop(64)])
        assert min(errors(got, images, transform)) >= 46, resize_size


def test_taps_use_the_pixels_beyond_the_crop(tmp_path: Path) -> None:
    """Small images are enlarged, so that the outermost output pixels depend most on pixels outside the crop."""
    (tmp_path / "val" / "a").mkdir(parents=True)
    images = []
    for side in (37, 45, 60, 90):
        file = tmp_path / "val" / "a" / f"{side}.jpg"
        Image.fromarray(picture(side, side, side)).save(file, quality=95, subsampling=0)
        images.append(Image.open(file).convert("RGB"))
    got = delivered(tmp_path / "val", 224, interpolation="bicubic").astype(float)
    transform = Compose([Resize(256, InterpolationMode.BICUBIC), CenterCrop(224)])
    ring = np.ones((224, 224), bool)
    ring[4:-4, 4:-4] = False
    for ours, image in zip(got, images, strict=True):
        difference = (ours - np.asarray(transform(image), float))[ring]
        assert 10 * np.log10(255**2 / np.square(difference).mean()) >= 50, image.size


def test_border_pixels_have_exactly_the_colour_asked_for(data: tuple[Path, list[Image.Image]]) -> None:
    path, _ = data
    got = delivered(path, 65, crop_mode="border", crop_pct=1.0, fill=(1, 2, 3))
    strip = got[SIZES.index((400, 120))]  # 65 x 20 (19.5 rounds half to even), after (65 - 20) // 2 = 22 rows
    assert (strip[:22] == (1, 2, 3)).all() and (strip[42:] == (1, 2, 3)).all()
    assert (strip[22:42] != (1, 2, 3)).any(axis=2).all()


def test_flipped_borders_are_flipped_too() -> None:
    """The record's contract, which no plan of today uses: `fill` is mirrored with the image."""
    from loaders.plan.filters import interpolation

    sample = np.zeros((), native.SAMPLE)
    sample["box"], sample["full"], sample["fill"] = (-8, 0, 8, 16), (16, 16), (9, 8, 7)
    pixels = np.full((16, 16, 3), 200, np.uint8)
    made = native.resample(pixels, sample, side=16, filter=interpolation(16, "bicubic"))
    assert (made[:, :, :8].reshape(3, -1).T == (9, 8, 7)).all() and (made[:, :, 8:] == 200).all()
    sample["flip"] = 1
    assert (native.resample(pixels, sample, side=16, filter=interpolation(16, "bicubic")) == made[:, :, ::-1]).all()
