from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import grid_sample

from loaders.transforms import LowFrequencyCrop, device
from tests.loaders.transforms.pictures import pixels

SIZES = [
    (224, 224, 96),
    (224, 224, 160),
    (224, 224, 97),
    (225, 224, 192),
    (48, 32, 16),
    (33, 47, 32),
    (33, 47, 31),
    (9, 8, 8),
    (7, 9, 7),
    (6, 5, 2),
    (5, 5, 1),
]


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


def by_fft(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """The definition, in double precision: keep the corners of the spectrum, transform back, take the real part."""
    spectrum = torch.fft.fft2(images.double())
    rest = resolution // 2  # negative frequencies; for even B with -b among them
    for axis, side in ((-2, images.shape[-2]), (-1, images.shape[-1])):
        kept = [*range(resolution - rest), *range(side - rest, side)]
        spectrum = spectrum.index_select(axis, torch.tensor(kept)) * (resolution / side)
    return torch.fft.ifft2(spectrum).real


@pytest.mark.parametrize(("high", "wide", "resolution"), SIZES)
def test_fourier_is_the_definition(high: int, wide: int, resolution: int) -> None:
    images = noise(2, 3, high, wide)
    crop = LowFrequencyCrop(resolution)(images)
    assert crop.shape == (2, 3, resolution, resolution) and crop.dtype == torch.float32
    torch.testing.assert_close(crop.double(), by_fft(images, resolution), rtol=0, atol=1e-5)


def test_the_corner_of_the_spectrum_matters() -> None:
    across = torch.sin(2 * torch.pi * 8 * torch.arange(32) / 32 + 0.3)
    images = (across * across[:, None])[None, None]
    crop = LowFrequencyCrop(16)(images)
    torch.testing.assert_close(crop.double(), by_fft(images, 16), rtol=0, atol=1e-5)
    assert crop.std() > 0.1  # it is all in the bins at Nyquist


def test_at_half_the_side_it_is_a_low_pass_read_at_every_second_pixel() -> None:
    images = noise(1, 1, 64, 64)
    passed = torch.fft.fftfreq(64).abs() < 0.25
    low = torch.fft.ifft2(torch.fft.fft2(images) * (passed & passed[:, None])).real
    torch.testing.assert_close(LowFrequencyCrop(31)(low).mean(), images.mean())
    torch.testing.assert_close(LowFrequencyCrop(32)(low), low[..., ::2, ::2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("resolution", [97, 96, 160, 192])
def test_lanczos_is_pillows(resolution: int) -> None:
    images = pixels(3, 3, 224, 224)
    ours = LowFrequencyCrop(resolution, "lanczos")(images)
    small = [
        np.asarray(Image.fromarray(np.moveaxis(image, 0, -1)).resize((resolution,) * 2, Image.Resampling.LANCZOS))
        for image in images.numpy()
    ]
    assert torch.equal(ours.permute(0, 2, 3, 1), torch.from_numpy(np.stack(small)))


def test_lanczos_of_floats_is_pillows_on_another_shape() -> None:
    images = noise(1, 1, 60, 90)
    theirs = Image.fromarray(images[0, 0].numpy()).resize((32, 32), Image.Resampling.LANCZOS)
    ours = LowFrequencyCrop(32, "lanczos")(images)
    torch.testing.assert_close(ours[0, 0], torch.from_numpy(np.array(theirs)), rtol=0, atol=1e-5)


def test_the_two_lie_on_different_grids() -> None:
    ramp = torch.sin(torch.arange(64) / 64 * 2 * torch.pi).expand(1, 1, 64, 64)  # periodic, as Fourier has it
    fourier, lanczos = (LowFrequencyCrop(32, method)(ramp)[0, 0, 16] for method in ("fourier", "lanczos"))
    moved = (1 - 32 / 64) / 2
    at = (torch.arange(32) + 0.5 + moved) / 32 * 2 - 1
    grid = torch.stack((at.expand(1, 1, 32), torch.zeros(1, 1, 32)), -1)
    read = grid_sample(fourier.expand(1, 1, 3, 32), grid, "bicubic", "reflection", align_corners=False)
    inner = slice(4, -4)
    assert (read[0, 0, 0, inner] - lanczos[inner]).abs().max() < 0.01
    assert (fourier[inner] - lanczos[inner]).abs().max() > 0.04


@pytest.mark.parametrize("method", ["fourier", "lanczos"])
def test_flat_pictures_stay_and_dtypes_too(method: str) -> None:
    module = LowFrequencyCrop(24, method)
    for dtype in (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64):
        crop = module(torch.full((2, 3, 40, 56), 77, dtype=dtype))
        assert crop.dtype == dtype
        assert (crop.float() - 77).abs().max() < 1e-4
    edge = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    edge[..., 20:] = 255
    crop, exact = module(edge), module(edge.float())
    assert exact.min() < -1 and exact.max() > 256  # it rings,
    assert torch.equal(crop, exact.clamp(0, 255).round().byte()) or method == "lanczos"  # and uint8 is clipped


def test_images_of_that_size_are_handed_back() -> None:
    images = noise(2, 3, 16, 16)
    assert LowFrequencyCrop(16)(images) is images


def test_portions_formats_and_empty_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    images, module = noise(7, 3, 32, 32), LowFrequencyCrop(12)
    whole = module(images)
    assert torch.equal(module(images.contiguous(memory_format=torch.channels_last)), whole)
    monkeypatch.setattr(device, "CACHED", 3 * 32 * 32)
    torch.testing.assert_close(module(images), whole, rtol=0, atol=1e-6)
    assert module(images[:0]).shape == (0, 3, 12, 12)


def test_gradients_pass_and_autocast_changes_nothing() -> None:
    images, module = noise(2, 3, 32, 32).requires_grad_(), LowFrequencyCrop(12)
    with torch.autocast("cpu", torch.bfloat16):
        crop = module(images)
    assert torch.equal(crop, module(images))
    crop.sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad, torch.full_like(images, (12 / 32) ** 2))


@pytest.mark.parametrize("method", ["fourier", "lanczos"])
def test_it_compiles_as_one_graph(method: str) -> None:
    module, images = LowFrequencyCrop(12, method), pixels(4, 3, 32, 32)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images), module(images))


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({"resolution": 0}, noise(1, 3, 8, 8), "`resolution` must be 1 or more pixels, got 0."),
        ({"method": "fft"}, noise(1, 3, 8, 8), "`method` must be 'fourier' or 'lanczos', got 'fft'."),
        ({}, noise(3, 8, 8), "`images` must be [N, C, H, W], got [3, 8, 8]."),
        ({}, noise(1, 3, 8, 8).int(), "`images` must be uint8 or floating-point, got torch.int32."),
        (
            {"resolution": 9},
            noise(1, 3, 9, 8),
            "`images` must have at least `resolution` = 9 pixels a side, got 9 x 8.",
        ),
    ],
)
def test_errors_say_rule_and_value(options: dict[str, object], images: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        LowFrequencyCrop(**{"resolution": 8, **options})(images)
    assert str(raised.value) == message


@pytest.mark.gpu
@pytest.mark.parametrize("tf32", [False, True])
def test_cuda_gives_the_cpus_values_without_waiting(tf32: bool) -> None:
    images, module = noise(16, 3, 224, 224), LowFrequencyCrop(96)
    on_device = images.cuda()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        module(on_device)  # makes its matrices
        torch.cuda.set_sync_debug_mode("error")
        crop = module(on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.set_float32_matmul_precision(before)
    torch.testing.assert_close(crop.cpu().double(), by_fft(images, 96), rtol=0, atol=1e-5)
