"""The exact path: the ICCV code's crop; it keeps the mean and what is band-limited, and lies on Pillow's grid."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import reference


def iccv(image: NDArray[np.float64], resolution: int) -> NDArray[np.float64]:
    """The released ICCV code's way: full FFT, four corner blocks, scale, inverse, real part. [H, H, C] -> [B, B, C]."""
    half, side = resolution // 2, len(image)
    spectrum = np.fft.fft2(image, axes=(0, 1))
    keep = np.r_[0:half, side - half : side]
    small = spectrum[np.ix_(keep, keep)] * (resolution / side) ** 2
    return np.fft.ifft2(small, axes=(0, 1)).real


def noise(side: int) -> NDArray[np.float64]:
    return np.random.Generator(np.random.Philox(1)).uniform(0, 255, (side, side, 3))


@pytest.mark.parametrize("resolution", [16, 96, 160])
def test_without_the_shift_it_is_the_iccv_crop(resolution: int) -> None:
    image = noise(224)
    np.testing.assert_allclose(
        reference.fourier_crop(image, resolution, centred=False), iccv(image, resolution), atol=1e-8
    )


def test_the_mean_is_kept() -> None:
    image = noise(64)
    small = reference.fourier_crop(image, 32, centred=False)
    np.testing.assert_allclose(small.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=1e-9)
    np.testing.assert_allclose(reference.fourier_crop(np.full((64, 64, 3), 7.0), 32), 7.0, atol=1e-9)


def wave(side: int) -> NDArray[np.float64]:
    """A periodic pattern of frequencies up to 9 a side, read at the pixels' centres of a side x side grid."""
    t = 2 * np.pi * (np.arange(side) + 0.5) / side
    rows, columns = 3 + np.cos(9 * t + 1) + np.sin(2 * t), 2 + np.sin(5 * t) - np.cos(t + 2)
    return np.repeat(np.multiply.outer(rows, columns)[..., None], 3, axis=2)


def test_a_band_limited_picture_is_reproduced_on_the_centre_aligned_grid() -> None:
    np.testing.assert_allclose(reference.fourier_crop(wave(224), 96), wave(96), atol=1e-9)
    assert np.abs(reference.fourier_crop(wave(224), 96, centred=False) - wave(96)).max() > 0.1


def test_the_official_path_comes_close_to_the_exact_one_only_on_the_right_grid() -> None:
    smooth = np.asarray(Image.fromarray(noise(24).astype(np.uint8)).resize((300, 260), Image.Resampling.BICUBIC))
    base = reference.base_crop(Image.fromarray(smooth), (10, 20, 250, 200), True, 96)
    assert base.size == (224, 224)
    official = reference.official(base, 96)
    same_grid = reference.psnr(official, reference.exact(base, 96))
    other_grid = reference.psnr(official, reference.fourier_crop(np.asarray(base), 96, centred=False))
    assert same_grid > 30
    assert same_grid > other_grid + 5


def test_at_the_base_size_the_exact_path_is_the_bicubic_crop() -> None:
    image = Image.fromarray(noise(64).astype(np.uint8))
    for resolution in (224, 256):
        base = reference.base_crop(image, (3, 4, 60, 50), False, resolution)
        pixels = np.asarray(image.crop((3, 4, 60, 50)).resize((resolution, resolution), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(reference.exact(base, resolution), pixels)
        np.testing.assert_array_equal(reference.official(base, resolution), pixels)


def test_psnr() -> None:
    assert reference.psnr(np.zeros((4, 4)), np.full((4, 4), 25.5)) == pytest.approx(20.0)
    assert reference.psnr(np.ones(3), np.ones(3)) == reference.EQUAL
