from __future__ import annotations

import pytest
import torch

from efficienttrain.models import pvt
from tests.efficienttrain.models.counts import gflops, parameters


@pytest.mark.parametrize(
    ("name", "millions", "billions"),
    [("tiny", 13.2, 1.9), ("small", 24.5, 3.8), ("medium", 44.2, 6.7), ("large", 61.4, 9.8)],
)
def test_sizes_are_those_of_the_paper(name: str, millions: float, billions: float) -> None:
    with torch.device("meta"):
        model = pvt.FACTORIES[f"pvt_{name}"](num_classes=1000)
    assert round(parameters(model), 1) == millions
    assert round(gflops(model), 1) == billions


@pytest.mark.parametrize("resolution", [32, 96, 160, 224])
def test_any_multiple_of_32_goes_through(resolution: int) -> None:
    model = pvt.PVT((1, 1, 1, 1), num_classes=7, drop_path=0.5, resolution=resolution, channels=(4, 8, 10, 16))
    logits = model(torch.randn(2, 3, resolution, resolution))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_keys_and_values_come_from_a_smaller_map() -> None:
    attention = pvt.Attention(8, 2, reduction=4)
    sizes: list[torch.Size] = []
    attention.key_value.register_forward_hook(lambda _module, _inputs, out: sizes.append(out.shape))
    assert attention(torch.randn(1, 64, 8), 8).shape == (1, 64, 8)
    assert sizes == [torch.Size([1, 4, 16])]
