from __future__ import annotations

import numpy as np
import pytest

from loaders.plan.permutation import Permutation

SIZES = [1, 2, 3, 5, 64, 65, 1000, 4097]


@pytest.mark.parametrize("n", SIZES)
def test_each_number_comes_once_and_the_inverse_finds_it(n: int) -> None:
    order = Permutation(n, 1, 2, 300)
    numbers = order(np.arange(n))
    assert numbers.dtype == np.int64 and sorted(numbers) == list(range(n))
    assert order.inverse(numbers).tolist() == list(range(n))
    assert len(order) == n


def test_the_order_is_pinned() -> None:
    """Files name it: see `beton.stored_order`."""
    assert Permutation(10, 0, 0, 16)(np.arange(10)).tolist() == [7, 0, 5, 9, 6, 8, 4, 1, 2, 3]
    assert Permutation(14_000_000, 0, 0, 16)(np.array([0, 1, 13_999_999])).tolist() == [9989632, 837384, 12029030]


def test_any_part_of_a_large_order_can_be_asked_for() -> None:
    order = Permutation(1 << 40, 0, 0, 300)
    numbers = order(np.array([0, 1, (1 << 40) - 1]))
    assert len(set(numbers.tolist())) == 3 and order.inverse(numbers).tolist() == [0, 1, (1 << 40) - 1]


def test_every_order_of_three_is_about_equally_likely() -> None:
    found = [Permutation(3, seed, 0, 300)(np.arange(3)) for seed in range(3000)]
    orders, counts = np.unique(found, axis=0, return_counts=True)
    assert len(orders) == 6
    assert ((counts - 500) ** 2 / 500).sum() < 20.5  # chi square, 5 degrees of freedom, 0.1 %


def test_numbers_land_everywhere() -> None:
    """Where tenths of the numbers land, in tenths: chi square against an even spread, 81 degrees of freedom."""
    n = 50_000
    for seed in range(3):
        landed = Permutation(n, seed, 0, 300)(np.arange(n))
        table = np.histogram2d(np.arange(n), landed, bins=10, range=[[0, n], [0, n]])[0]
        assert ((table - n / 100) ** 2 / (n / 100)).sum() < 140  # 0.01 %
        assert abs(np.corrcoef(landed[:-1], landed[1:])[0, 1]) < 0.02


def test_keys_give_other_orders() -> None:
    keys = [(1, 2, 300), (2, 2, 300), (1, 3, 300), (1, 2, 301)]
    orders = [Permutation(1000, *key)(np.arange(1000)) for key in keys]
    for i, order in enumerate(orders):
        assert all((order == other).sum() < 10 for other in orders[:i])
