from __future__ import annotations

import pytest
import torch

from benchmarks.networks import convnet, small_convnet, vit
from efficienttrain.models import resize


@pytest.mark.parametrize("build", [convnet, small_convnet])
@pytest.mark.parametrize("bandwidth", [32, 64, 224])
def test_a_convnet_takes_any_bandwidth(build: type, bandwidth: int) -> None:
    assert build(7)(torch.zeros(2, 3, bandwidth, bandwidth)).shape == (2, 7)


def test_the_small_one_is_a_quarter() -> None:
    large, small = (sum(p.numel() for p in build(10).parameters()) for build in (convnet, small_convnet))
    assert 0.24 < small / large < 0.27


def test_the_vit_follows_the_curriculum() -> None:
    network = vit(7, bandwidth=32)
    resize(network, 64)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
