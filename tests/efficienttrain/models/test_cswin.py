from __future__ import annotations

from math import ceil

import pytest
import torch
from torch.nn import functional as F

from efficienttrain.models import cswin
from efficienttrain.models.cswin import CSWin, StripeAttention
from tests.efficienttrain.models.counts import gflops, parameters


@pytest.mark.parametrize(("name", "millions", "billions"), [("tiny", 23, 4.3), ("small", 35, 6.9), ("base", 78, 15.0)])
def test_sizes_are_those_of_the_paper(name: str, millions: int, billions: float) -> None:
    with torch.device("meta"):
        model = cswin.FACTORIES[f"cswin_{name}"](num_classes=1000)
    assert ceil(parameters(model)) == millions  # the paper rounds up: 22.3, 34.6 and 77.4 M
    assert gflops(model) == pytest.approx(billions, rel=0.015)


@pytest.mark.parametrize("resolution", [32, 96, 160, 224])
def test_any_multiple_of_32_goes_through(resolution: int) -> None:
    model = CSWin(16, (1, 1, 1, 1), (2, 2, 2, 2), num_classes=7, drop_path=0.5)
    logits = model(torch.randn(2, 3, resolution, resolution))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_stripes_see_what_is_in_them_and_nothing_else() -> None:
    attention = StripeAttention(8, 2)
    qkv = torch.randn(1, 4, 6, 3, 8, requires_grad=True)
    attention(qkv, 2, 6)[0, 0, 0].sum().backward()
    assert qkv.grad is not None
    seen = qkv.grad.abs().sum(dim=(0, 3, 4)) > 0
    assert seen[:2].all() and not seen[2:].any()


def test_attention_is_the_plain_one_with_positions_added_to_it() -> None:
    attention = StripeAttention(8, 2)
    qkv = torch.randn(3, 4, 4, 3, 8)
    query, key, value = qkv.reshape(3, 16, 3, 2, 4).permute(2, 0, 3, 1, 4)
    plain = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(3, 4, 4, 8)
    position = attention.position(qkv[:, :, :, 2].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(attention(qkv, 4, 4), plain + position)


def test_both_directions_cross() -> None:
    """A pixel's neighbourhood in the first stage: its own row and its own column, one wide."""
    block = cswin.Block(8, 2, stage=0, drop_path=0.0)
    x = torch.randn(1, 6, 6, 8, requires_grad=True)
    block(x)[0, 2, 3].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum(dim=(0, 3)) > 0
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[2], expected[:, 3] = True, True
    assert torch.equal(seen, expected)
