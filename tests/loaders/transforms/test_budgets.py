"""Launches and copies of each transform on a GPU, counted on a device that is pretended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from loaders.transforms import LowFrequencyCrop, Mixup, Normalize, RandAugment, RandomErasing, fused
from tests.pretend import pretending

N = 64
KEYS = np.arange(N)
NORMALIZE = Normalize((0.5,) * 3, (0.25,) * 3, torch.bfloat16)
MIX, CUT = (Mixup(m, c, num_classes=10) for m, c in ((0.8, 0.0), (0.0, 1.0)))
Work = Callable[[torch.Tensor, torch.Tensor], object]

# name: (work on images and labels, takes floats, launches at most, copies at most)
BUDGETS: dict[str, tuple[Work, bool, int, int]] = {
    "randaugment": (lambda x, _: RandAugment(9)(x, KEYS, seed=0, epoch=0), False, 4, 1),
    "randaugment, normalised": (
        lambda x, _: RandAugment(9, then=NORMALIZE)(x, KEYS, seed=0, epoch=0),
        False,
        4,
        1,
    ),
    "erasing": (lambda x, _: RandomErasing(0.5)(x, KEYS, seed=0, epoch=0), True, 1, 1),
    "mixup": (lambda x, y: MIX(x, y, 0, seed=0, epoch=0), True, 2, 0),
    "cutmix": (lambda x, y: CUT(x, y, 0, seed=0, epoch=0), True, 2, 0),
    "normalize": (lambda x, _: NORMALIZE(x), False, 1, 0),
    "fourier": (lambda x, _: LowFrequencyCrop(32)(x), True, 12, 0),
    "lanczos": (lambda x, _: LowFrequencyCrop(32, "lanczos")(x), False, 12, 0),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_steady_batch_keeps_to_its_budget(name: str) -> None:
    work, floats, launches, copies = BUDGETS[name]
    with pretending() as count:
        images = torch.empty((N, 3, 48, 48), dtype=torch.float32 if floats else torch.uint8, device="cuda")
        labels = torch.zeros(N, dtype=torch.int64, device="cuda")
        work(images, labels)  # the first batch makes constants
        for counter in (count.launches, count.copies, count.waits):
            counter.clear()
        work(images, labels)
    assert count.total <= launches, count.launches
    assert count.copies["pinned"] <= copies and not count.copies["pageable"], count.copies
    assert not +count.waits, count.waits


def test_torchs_operations_wait_for_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretending() as count:
        monkeypatch.setattr(fused, "usable", lambda _: False)
        images = torch.empty((N, 3, 48, 48), dtype=torch.uint8, device="cuda")
        for _ in range(2):
            count.copies.clear()
            RandomErasing(0.5)(RandAugment(9, then=NORMALIZE)(images, KEYS, seed=0, epoch=0), KEYS, seed=0, epoch=0)
    assert count.total > 12  # the kernels' budget means something
    assert count.copies["pinned"] > 2 and not count.copies["pageable"] and not +count.waits


def test_images_too_large_for_a_grid_are_left_to_torch() -> None:
    with pretending():
        assert fused.usable(torch.empty((1, 3, 3344, 3344), device="cuda"))
        assert not fused.usable(torch.empty((1, 3, 3345, 3345), device="cuda"))


def test_the_counter_sees_waits_and_pageable_copies() -> None:
    with pretending() as count:
        images = torch.zeros(4, device="cuda")
        torch.arange(3).to("cuda")
        images.cpu()
    assert count.copies == {"pageable": 1} and count.waits == {"_to_copy": 1}
    with pretending(), pytest.raises(RuntimeError, match="device"):
        torch.zeros(4, device="cuda") + torch.zeros(4)
