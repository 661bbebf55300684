from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.evidence.networks import convnet, narrow_convnet, narrow_vit, small_convnet, small_vit, vit
from efficienttrain.models import resize


@pytest.mark.parametrize("build", [convnet, narrow_convnet, small_convnet])
@pytest.mark.parametrize("resolution", [32, 64, 224])
def test_a_convnet_takes_any_resolution(build: type, resolution: int) -> None:
    assert build(7)(torch.zeros(2, 3, resolution, resolution)).shape == (2, 7)


@pytest.mark.parametrize(
    ("build", "large", "share"),
    [(narrow_convnet, convnet, 1 / 12), (small_convnet, narrow_convnet, 1 / 4), (narrow_vit, vit, 1 / 7)],
)
def test_small_ones_are_parts_of_large_ones(build: Any, large: Any, share: float) -> None:
    size, whole = (sum(p.numel() for p in make(10).parameters()) for make in (build, large))
    assert size / whole == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("build", [vit, narrow_vit])
def test_a_vit_follows_the_curriculum(build: Any) -> None:
    network = build(7, resolution=32)
    resize(network, 64)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_a_vit_with_convolutions_takes_the_curriculums_resolutions() -> None:
    network = small_vit(7)
    for resolution in (48, 80, 112):
        resize(network, resolution)
        assert network(torch.zeros(2, 3, resolution, resolution)).shape == (2, 7)
    with pytest.raises(ValueError, match="must be a multiple of 16"):
        resize(network, 56)
