from __future__ import annotations

import numpy as np
import torch

from loaders.transforms.keyed_noise import _splitmix, normal

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    """One output of SplitMix64 in Python's own integers."""
    z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def test_bits_are_splitmix64s() -> None:
    states = [0x9E3779B97F4A7C15, 0, 1, MASK, 2**63, 0x0123456789ABCDEF]
    signed = torch.tensor([state - 2**64 if state >= 2**63 else state for state in states])
    assert [bits & MASK for bits in _splitmix(signed).tolist()] == [splitmix64(state) for state in states]
    assert splitmix64(states[0]) == 0xE220A8397B1DCDAF  # the generator's first number for seed 0, as published


def test_numbers_are_normal_and_independent() -> None:
    n = 200_000
    key = torch.full((n,), 12345)
    drawn = normal(key, torch.arange(n), 3)
    assert drawn.shape == (n, 3) and drawn.dtype == torch.float32
    neighbours = normal(key + 1, torch.arange(n), 3)
    assert drawn.mean(0).abs().max() < 0.01
    for power, moment in ((2, 1), (3, 0), (4, 3)):
        assert ((drawn**power).mean(0) - moment).abs().max() < 0.05
    inside = [(drawn.abs() < limit).double().mean().item() for limit in (0.5, 1, 2, 3)]
    np.testing.assert_allclose(inside, [0.38292, 0.68269, 0.9545, 0.9973], atol=0.003)
    pairs = [drawn[:, 0] * drawn[:, 1], drawn[:, 0] * drawn[:, 2], drawn[1:, 0] * drawn[:-1, 0], drawn * neighbours]
    assert max(pair.mean().abs().item() for pair in pairs) < 0.01


def test_a_row_depends_on_its_key_and_position_alone() -> None:
    key, position = torch.tensor([7, -7, 7, 2**62]), torch.tensor([0, 0, 5, 5])
    whole = normal(key, position, 3)
    picked = torch.tensor([3, 1])
    assert torch.equal(normal(key[picked], position[picked], 3), whole[picked])
    assert len({tuple(row) for row in whole.tolist()}) == 4
    assert normal(key, position, 9).shape == (4, 9)
    assert normal(key[:0], position[:0], 3).shape == (0, 3)
