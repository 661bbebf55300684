from __future__ import annotations

import pytest
import torch
from torch import nn

from efficienttrain.training.distributed import Ranks
from efficienttrain.training.gradient_noise import GradientNoise

ALONE = Ranks(0, 1, torch.device("cpu"))


def noise_of(signal: float, deviation: float, micro: int, count: int, steps: int) -> dict[str, float]:
    """What is read where each sample's gradient is the signal and Gaussian noise, in 64 dimensions."""
    generator = torch.Generator().manual_seed(1)
    noise = GradientNoise(ALONE)
    parameter = nn.Parameter(torch.zeros(64))
    for _ in range(steps):
        parts = signal + deviation * torch.randn(count, micro, 64, generator=generator)
        parameter.grad = parts[0].mean(0) / count * 4  # scaled by 4, as mixed precision would
        noise.first([parameter], count / 4)
        parameter.grad = parts.mean((0, 1))
        noise.whole([parameter])
    return noise.read(micro, micro * count)


def test_the_noise_scale_is_variance_by_signal() -> None:
    found = noise_of(signal=0.5, deviation=2.0, micro=4, count=8, steps=300)
    assert found["noise_scale"] == pytest.approx(2.0**2 / 0.5**2, rel=0.1)
    assert found["grad_norm"] == pytest.approx((64 * (0.25 + 4 / 32)) ** 0.5, rel=0.05)


def test_one_micro_batch_has_a_norm_and_no_noise_scale() -> None:
    noise, parameter = GradientNoise(ALONE), nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([3.0, 4.0, 0.0])
    noise.whole([parameter])
    assert noise.read(8, 8) == {"grad_norm": 5.0}
    assert noise.read(8, 8) == {}  # it begins anew


def test_a_step_that_mixed_precision_skips_does_not_count() -> None:
    noise, parameter = GradientNoise(ALONE), nn.Parameter(torch.zeros(1))
    for value in (float("inf"), 2.0, float("nan")):
        parameter.grad = torch.tensor([value])
        noise.whole([parameter])
    assert noise.read(1, 1) == {"grad_norm": 2.0}
