"""The low-pass behind the kernel's RandAugment: the pixels of `LowFrequencyCrop`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from loaders import native
from loaders.native.kernel import builds
from loaders.plan.filters import build
from loaders.transforms import LowFrequencyCrop, Normalize, RandAugment, RandomErasing
from tests.loaders.native.inner import use_build

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISE = Normalize(MEAN, STD)
SIZES = [(224, 96), (224, 97), (224, 160), (50, 33), (31, 30), (17, 2), (9, 1)]
INDICES = np.arange(3)
DRAWN = {"seed": 3, "epoch": 1}


def pictures(side: int) -> Tensor:
    """uint8 [3, 3, side, side]: noise, a flat picture, and black beside white, where filters overshoot."""
    noise = np.random.default_rng(side).integers(0, 256, (3, side, side))
    edge = np.broadcast_to(255 * (np.arange(side) > side / 2), (3, side, side))
    return torch.from_numpy(np.stack((noise, np.full_like(noise, 91), edge)).astype(np.uint8))


def lowered(images: Tensor, how: native.Augment, dtype: torch.dtype, last: bool = False) -> Tensor:
    """The kernel's output for resampled images."""
    n, _, side, _ = images.shape
    assert how.low_pass is not None
    small = how.low_pass.side
    out = np.zeros((n, 3 * small * small * dtype.itemsize), np.uint8)
    samples = np.zeros(n, native.SAMPLE)
    work = native.KernelBatch(samples, native.KernelOptions(side, build(side), augment=how, channels_last=last), out)
    for i, image in enumerate(images):
        work.finish(i, image.numpy())
    made = torch.from_numpy(out).view(dtype)
    return made.view(n, small, small, 3).permute(0, 3, 1, 2) if last else made.view(n, 3, small, small)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("side", "resolution"), SIZES)
def test_levels_are_the_modules(side: int, resolution: int, last: bool) -> None:
    images = pictures(side)
    for method, most in (("lanczos", 0), ("fourier", 1)):
        crop = LowFrequencyCrop(resolution, method)
        made = lowered(images, native.Augment(low_pass=crop.for_kernel(side)), torch.uint8, last)
        gap = (made.int() - crop(images).int()).abs()
        assert (
            gap.max() <= most and gap.float().mean() < 1e-2
        )  # a sum that lies between two levels may be rounded to either


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("side", "resolution"), SIZES)
def test_values_are_the_modules(side: int, resolution: int, last: bool) -> None:
    images, crop = pictures(side), LowFrequencyCrop(resolution)
    made = lowered(images, native.Augment(low_pass=crop.for_kernel(side, NORMALISE)), torch.float32, last)
    torch.testing.assert_close(made, NORMALISE(crop(images.float())), rtol=0, atol=2e-5)


def test_operations_come_before_it_and_erasing_after() -> None:
    images, crop = pictures(48), LowFrequencyCrop(32)
    strong, erasing = RandAugment(9), RandomErasing(1.0)
    how = replace(
        erasing.for_kernel(INDICES, 32, torch.float32, **DRAWN),
        operations=(planned := strong.for_kernel(INDICES, 48, **DRAWN)).operations,
        cubic=planned.cubic,
        fill=planned.fill,
        low_pass=crop.for_kernel(48, NORMALISE),
    )
    wanted = erasing(NORMALISE(crop(strong(images, INDICES, **DRAWN).float())), INDICES, **DRAWN)
    torch.testing.assert_close(lowered(images, how, torch.float32), wanted, rtol=0, atol=2e-5)
    assert not torch.equal(wanted, NORMALISE(crop(images.float())))


@pytest.mark.parametrize("name", builds())
def test_every_build_gives_the_same_bits(name: str) -> None:
    images = pictures(75)
    hows = [
        (LowFrequencyCrop(40, "lanczos").for_kernel(75), torch.uint8),
        (LowFrequencyCrop(40).for_kernel(75), torch.uint8),
        (LowFrequencyCrop(40).for_kernel(75, NORMALISE), torch.float32),
    ]
    wanted = [lowered(images, native.Augment(low_pass=low), dtype) for low, dtype in hows]
    try:
        use_build(name)
        for (low, dtype), best in zip(hows, wanted, strict=True):
            assert torch.equal(lowered(images, native.Augment(low_pass=low), dtype), best)
    finally:
        use_build(builds()[0])


def test_memory_that_does_not_fit_is_refused() -> None:
    how = native.Augment(low_pass=LowFrequencyCrop(8).for_kernel(16, NORMALISE))
    samples, out = np.zeros(2, native.SAMPLE), np.zeros(2 * 3 * 8 * 8 * 4 - 1, np.uint8)
    with pytest.raises(ValueError, match="`out` must hold 2 x 3 x 8 x 8 elements in one piece, got 1535 bytes"):
        native.KernelBatch(samples, native.KernelOptions(16, build(16), augment=how), out)
