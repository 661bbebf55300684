from __future__ import annotations

import pytest

from efficienttrain.training.auto_replay import hiding_factor


@pytest.mark.parametrize(
    ("stall", "micro", "factor"),
    [(0.04, 64, 1), (0.3, 64, 2), (0.5, 64, 2), (0.51, 64, 4), (0.6, 60, 3), (0.95, 64, 8), (0.5, 7, 7), (0.5, 11, 1)],
)
def test_auto_takes_the_smallest_factor_that_hides_the_loader(stall: float, micro: int, factor: int) -> None:
    assert hiding_factor(stall, micro) == factor
