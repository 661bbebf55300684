from __future__ import annotations

import numpy as np
import pytest
import torch

from loaders.transforms import device


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
