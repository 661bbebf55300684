from __future__ import annotations

import numpy as np
import pytest
import torch

from loaders.transforms import LowFrequencyCrop, Mixup, Normalize, RandAugment, RandomErasing, device
from loaders.transforms.pipeline import TransformPipeline


def test_portions_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "CACHED", 3 * 8 * 8)
    images = torch.zeros(7, 3, 8, 8)
    assert list(device.portions(images)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(device.portions(images, 2, 4)) == [slice(2, 4)]
    assert list(device.portions(images[:0])) == [slice(0, 0)]
    assert len(list(device.portions(torch.zeros(2, 3, 40, 40)))) == 2  # an image is never cut
    assert list(device.portions(torch.zeros(7, 3, 8, 8, device="meta"))) == [slice(0, 7)]


def test_constants_are_made_once_a_device() -> None:
    made = []

    def double(value: int) -> np.ndarray:
        made.append(value)
        return np.array([2.0 * value])

    cpu, meta = torch.device("cpu"), torch.device("meta")
    assert device.constant(double, 3, device=cpu) is device.constant(double, 3, device=cpu)
    assert device.constant(double, 3, device=cpu).dtype == torch.float32
    device.constant(double, 4, device=cpu), device.constant(double, 3, device=meta)
    assert made == [3, 4, 3]


def test_what_is_put_there_is_the_array() -> None:
    assert device.put(np.arange(3), torch.device("cpu")).tolist() == [0, 1, 2]


def test_the_compilers_mark_is_torchs_own() -> None:
    def ours() -> None: ...

    def theirs() -> None: ...

    torch.compiler.assume_constant_result(theirs)
    assert vars(device.settled(ours)) == vars(theirs) != {}


def test_constants_made_in_inference_mode_serve_gradients_later() -> None:
    def triple() -> np.ndarray:
        return np.array([3.0])

    with torch.inference_mode():
        device.constant(triple, device=torch.device("cpu"))
        LowFrequencyCrop(24)(torch.zeros(1, 3, 56, 56))
        Normalize((0.25,) * 3, (0.5,) * 3)(torch.zeros(1, 3, 8, 8))
    images = torch.ones(1, 3, 56, 56, requires_grad=True)
    three = device.constant(triple, device=images.device)
    (Normalize((0.25,) * 3, (0.5,) * 3)(LowFrequencyCrop(24)(images)).sum() * three).backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_the_default_device_and_dtype_do_not_matter() -> None:
    made: list[list[torch.Tensor]] = []
    for place, dtype in (("cpu", torch.float32), ("meta", torch.float64)):
        device._cached.cache_clear()
        torch.set_default_device(place)
        torch.set_default_dtype(dtype)
        try:
            images = torch.arange(2 * 3 * 32 * 32, device="cpu").view(2, 3, 32, 32).to(torch.uint8)
            labels = torch.tensor([0, 1], device="cpu")
            keys = np.arange(2)
            erased = RandomErasing(1.0)(images.float(), keys, seed=0, epoch=0)
            moved = RandAugment(9.0)(images, keys, seed=0, epoch=0)
            pipe = TransformPipeline(
                dtype="float32", mean=(0.5,) * 3, std=(0.5,) * 3, device=torch.device("cpu"), seed=0
            )
            mixed = Mixup(num_classes=3, mode="elem")(images.float(), labels, 0, seed=0, epoch=0)
            made.append([erased, moved, torch.from_numpy(pipe._lut), *mixed])
        finally:
            torch.set_default_device(None)
            torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(*made, strict=True))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last, torch.preserve_format])
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_blank_tensors_have_the_layout_of_torchs(dtype: torch.dtype | None, memory_format: torch.memory_format) -> None:
    for given in (torch.zeros(4, 3, 6, 5, dtype=torch.float16), torch.zeros(0, 3, 2, 2, dtype=torch.uint8)):
        for images in (given, given.contiguous(memory_format=torch.channels_last), given[::2], given.to("meta")):
            wanted = torch.empty_like(images, dtype=dtype, memory_format=memory_format)
            made = device.blank_like(images, dtype, memory_format)
            assert (made.shape, made.stride(), made.dtype) == (wanted.shape, wanted.stride(), wanted.dtype)
            assert made.device == wanted.device
            made.zero_()
