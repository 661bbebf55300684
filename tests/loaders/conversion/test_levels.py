"""Which sizes are stored: chosen by the sizes of the images, the same for all parts of a conversion."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from loaders import Loader, convert, native, open_dataset
from loaders.conversion import ShardedConversion
from loaders.conversion.levels import ALWAYS, USUAL, fitting, qualities, ratios_for
from loaders.sources.open import open_source
from loaders.stage import SMALLEST


def flat(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), (90, 120, 150)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("sides", "further"),
    [
        ([(500, 375)] * 20, ()),
        ([(2000, 8 * ALWAYS - 1)] * 20, ()),
        ([(8 * ALWAYS, 2000)] * 20, (1 / 8,)),
        ([(3000, 16 * ALWAYS)] * 20, (1 / 8, 1 / 16)),
        ([(500, 375)] * 17 + [(3000, 3000)] * 3, (1 / 8, 1 / 16)),  # enough images are large
        ([(500, 375)] * 19 + [(3000, 3000)], ()),  # too few are
    ],
)
def test_large_images_get_further_levels(sides: list[tuple[int, int]], further: tuple[float, ...]) -> None:
    images = {size: flat(*size) for size in set(sides)}
    assert ratios_for(open_source([(images[size], 0) for size in sides])) == (*USUAL, *further)


def test_images_that_cannot_be_read_do_not_count() -> None:
    large = flat(8 * ALWAYS, 8 * ALWAYS)
    assert ratios_for(open_source([(b"no image", 0)] * 19 + [(large, 0)])) == (*USUAL, 1 / 8)
    assert ratios_for(open_source([(b"no image", 0)] * 3)) == USUAL


def test_all_parts_have_the_levels_of_the_whole(tmp_path: Path) -> None:
    samples = [(flat(8 * ALWAYS, 8 * ALWAYS), 0)] * 2 + [(flat(64, 64), 1)] * 14
    convert(samples, tmp_path / "whole.beton", workers=1)
    conversion = ShardedConversion(samples, tmp_path / "train.beton", 8)
    for number in range(8):  # most of them without a large image
        conversion.part(number).convert(workers=1)
    conversion.finish()
    for path in (tmp_path / "whole.beton", conversion.manifest):
        with open_dataset(path) as data:
            assert data.ratios == (*USUAL, 1 / 8)
            assert (data.entries([0, 1])["width"] > 0).all()
    with Loader(tmp_path / "whole.beton", batch_size=16, resolution=96, shuffle=False) as loader:
        images, labels = next(iter(loader))
        assert images.shape == (16, 3, 96, 96) and labels.tolist() == [0] * 2 + [1] * 14


def test_levels_that_are_named_are_those_stored(tmp_path: Path) -> None:
    convert([(flat(2100, 2100), 0)], tmp_path / "x.beton", ratios=(1, 0.5), workers=1)
    with open_dataset(tmp_path / "x.beton") as data:
        assert data.ratios == (1.0, 0.5)


def test_small_levels_have_half_the_quantisation_steps() -> None:
    assert qualities(USUAL, 90) == [90, 90, 90]
    assert qualities((1.0, 0.5, 0.25, 0.125, 0.0625), 90) == [90, 90, 95, 97, 97]
    assert qualities((1.0, 0.2), 1) == [1, 75] and qualities((1.0, 0.2), 100) == [100, 100]


def test_small_levels_that_do_not_fit_are_left_out() -> None:
    def records(*sizes: tuple[int, int]) -> list[native.Record]:
        return [native.Record(bytes(n - 8), bytes(8), 1, 200, side, 1, "") for n, side in sizes]

    assert fitting(records((1000, 150), (400, 75), (100, 37)), 0.5) == [True, True, True]
    assert fitting(records((1000, 150), (600, 75), (100, 37)), 0.5) == [True, False, True]
    assert fitting(records((1000, 150), (401, 75), (100, 37)), 0.5) == [True, True, False]
    assert fitting(records((1000, 400), (600, 128), (500, 64)), 0.5) == [True, True, True]
    assert fitting(records((1000, 400), (600, 128), (501, 64)), 0.5) == [True, True, False]
    assert fitting(records((1000, 150), (10, 75)), 0) == [True, False]


def test_levels_smaller_than_any_resolution_are_left_out(tmp_path: Path) -> None:
    sizes = [(32, 32), (64, 64), (4 * SMALLEST - 4, 500)]
    convert([(flat(*size), 0) for size in sizes], tmp_path / "x.beton", overhead=100, workers=1)
    with open_dataset(tmp_path / "x.beton") as data:
        assert data.entries([0, 1, 2])["width"].tolist() == [[32, 16, 0], [64, 32, 16], [60, 30, 0]]
