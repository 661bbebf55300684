from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from efficienttrain.models.fit import fit


@pytest.mark.parametrize("extra", [0, 1, 2, 5])
@pytest.mark.parametrize(("side", "wanted"), [(6, 10), (14, 6), (12, 14)])
def test_tokens_of_a_grid_with_extra_ones_before_it(extra: int, side: int, wanted: int) -> None:
    values = torch.arange(extra + side * side).float()[None, :, None] + torch.tensor([0.0, 1000.0])
    out = fit(values, (1, extra + wanted * wanted, 2))
    assert torch.equal(out[:, :extra], values[:, :extra])
    image = values[:, extra:].reshape(1, side, side, 2).permute(0, 3, 1, 2)
    expected = F.interpolate(image, (wanted, wanted), mode="bilinear", align_corners=False)
    assert torch.equal(out[:, extra:], expected.permute(0, 2, 3, 1).reshape(1, -1, 2))


@pytest.mark.parametrize("extra", [0, 3])  # Swin, BEiT
def test_bias_tables_with_extra_rows_after_them(extra: int) -> None:
    values = torch.randn(25 + extra, 4)
    out = fit(values, (81 + extra, 4))
    expected = F.interpolate(values[:25].T.reshape(1, 4, 5, 5), (9, 9), mode="bilinear", align_corners=False)
    torch.testing.assert_close(out[:81], expected.reshape(4, 81).T)
    assert torch.equal(out[81:], values[25:])


def test_type_is_kept_and_squares_stay_positive() -> None:
    out = fit(torch.rand(1, 37, 8, dtype=torch.bfloat16), (1, 197, 8))
    assert out.dtype == torch.bfloat16 and bool((out >= 0).all())


def test_the_same_shape_is_the_same_tensor() -> None:
    values = torch.zeros(1, 50, 8)
    assert fit(values, values.shape) is values


@pytest.mark.parametrize("shape", [(1, 38, 8), (1, 101, 9), (2, 101, 8), (101, 8)])
def test_what_is_no_square_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a square grid of positions can be resized"):
        fit(torch.zeros(1, 37, 8), shape)
