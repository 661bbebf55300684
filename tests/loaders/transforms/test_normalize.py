from __future__ import annotations

import pytest
import torch

from loaders.transforms import Normalize, device
from tests.loaders.transforms.pictures import pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMATS = (torch.contiguous_format, torch.channels_last)


def plainly(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return ((images.float() / 255 - mean) / std).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("given", FORMATS)
def test_it_has_the_definitions_bits(
    dtype: torch.dtype, memory_format: torch.memory_format, given: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, module = pixels(5, 3, 12, 14), Normalize(MEAN, STD, dtype, memory_format)
    for cached in (device.CACHED, 2 * 12 * 14):
        monkeypatch.setattr(device, "CACHED", cached)
        done = module(images.contiguous(memory_format=given))
        assert done.dtype == dtype and done.is_contiguous(memory_format=memory_format)
        assert torch.equal(done, plainly(images, dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("given", FORMATS)
def test_the_kernel_looks_square_images_up(
    dtype: torch.dtype, memory_format: torch.memory_format, given: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Normalize(MEAN, STD, dtype, memory_format)
    module.table(torch.device("cpu"))  # made by `_exact`
    monkeypatch.setattr(Normalize, "_exact", None)
    for n, side in ((5, 33), (1, 96), (2, 1)):
        images = pixels(n, 3, side, side)
        done = module(images.contiguous(memory_format=given))
        assert done.dtype == dtype and done.is_contiguous(memory_format=memory_format)
        assert torch.equal(done, plainly(images, dtype))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_the_one_kernel_for_cuda_differs_by_rounding_alone(memory_format: torch.memory_format) -> None:
    images = pixels(2, 3, 16, 16)
    for dtype, least in ((torch.float32, 1e-6), (torch.bfloat16, 2**-7), (torch.float16, 2**-10)):
        done = torch.empty(images.shape, dtype=dtype, memory_format=memory_format)
        made = Normalize(MEAN, STD, dtype, memory_format)._fused(images, done)
        assert made is done
        torch.testing.assert_close(made, plainly(images, dtype), rtol=least, atol=1e-6)


def test_floats_are_left_alone_and_may_lie_outside() -> None:
    images = pixels(2, 3, 8, 8).float() * 1.2 - 20
    kept = images.clone()
    assert torch.equal(Normalize(MEAN, STD)(images), plainly(kept))
    assert torch.equal(images, kept)


def test_one_channel_and_no_images() -> None:
    grey = Normalize((0.5,), (0.25,))(pixels(2, 1, 4, 4))
    torch.testing.assert_close(grey, (pixels(2, 1, 4, 4).float() / 255 - 0.5) * 4)
    assert Normalize(MEAN, STD)(pixels(0, 3, 4, 4)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_it_compiles_as_one_graph(memory_format: torch.memory_format) -> None:
    module, images = Normalize(MEAN, STD, torch.bfloat16, memory_format), pixels(2, 3, 8, 8)
    done = torch.compile(module, backend="eager", fullgraph=True)(images)
    assert torch.equal(done, module(images)) and done.is_contiguous(memory_format=memory_format)


AS_MANY = "`mean` and `std` must be as many numbers, `std` above 0, got"


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"std": (1, 1)}, (1, 3, 8, 8), f"{AS_MANY} (0, 0, 0) and (1, 1)."),
        ({"std": (0, 1, 1)}, (1, 3, 8, 8), f"{AS_MANY} (0, 0, 0) and (0, 1, 1)."),
        ({"dtype": torch.uint8}, (1, 3, 8, 8), "`dtype` must be floating-point, got torch.uint8."),
        (
            {"memory_format": torch.preserve_format},
            (1, 3, 8, 8),
            "`memory_format` must be contiguous_format or channels_last, got torch.preserve_format.",
        ),
        ({}, (1, 4, 8, 8), "`images` must be [N, 3, H, W], got [1, 4, 8, 8]."),
    ],
)
def test_errors_say_rule_and_value(options: dict[str, object], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        Normalize(**{"mean": (0, 0, 0), "std": (1, 1, 1), **options})(pixels(*shape))
    assert str(raised.value) == message


@pytest.mark.gpu
@pytest.mark.parametrize("memory_format", FORMATS)
def test_cuda_is_one_kernel_and_waits_for_nothing(memory_format: torch.memory_format) -> None:
    module, images = Normalize(MEAN, STD, torch.bfloat16, memory_format), pixels(8, 3, 64, 64).cuda()
    module(images)  # makes its constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.profiler.profile() as profile:
            done = module(images)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert done.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(done.cpu(), plainly(images.cpu(), torch.bfloat16), rtol=2**-7, atol=1e-6)
    on_device = torch.profiler.profiler.DeviceType.CUDA
    assert sum(event.device_type == on_device for event in profile.events()) == 1
