from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from loaders.transforms import precision


@pytest.fixture(params=["highest", "high", "medium"])
def allowed(request: pytest.FixtureRequest) -> Iterator[str]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


def factors() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((2, 32, 48), (48, 20)))
    return torch.from_numpy(a), torch.from_numpy(b)


def test_products_are_float32s_whatever_is_allowed(allowed: str) -> None:
    a, b = factors()
    assert precision._full(a.device) == (allowed == "highest")
    made = precision.product(a, b)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.double(), a.double() @ b.double(), rtol=0, atol=1e-5)


def test_three_products_of_tf32_make_one_of_float32() -> None:
    """What a GPU does to each factor, done by hand: all but 10 bits cut off."""
    a, b = factors()

    def by_tf32(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return precision._high(x).double() @ precision._high(y).double()

    high, low = (precision._high(a), a - precision._high(a)), (precision._high(b), b - precision._high(b))
    exact = a.double() @ b.double()
    split = by_tf32(high[0], low[0]) + by_tf32(high[0], low[1]) + by_tf32(high[1], low[0])
    assert (by_tf32(a, b) - exact).abs().max() > 1e-3
    assert (split - exact).abs().max() < 2e-5
