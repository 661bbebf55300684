"""The gradient's norm and noise scale; the noise scale indicates the largest useful batch size.

Source: McCandlish et al., "An Empirical Model of Large-Batch Training", arXiv 1812.06162, appendix A.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from efficienttrain.training.distributed import Ranks


class GradientNoise:
    """Compares the gradient of a step's first micro-batch with that of the whole step. Both stay on the device.

    The noise scale needs two or more micro-batches in a step; the norm does not.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._sums = torch.zeros(3, dtype=torch.float64, device=ranks.device)
        self._first: Tensor | None = None

    def first(self, parameters: Iterable[nn.Parameter], factor: float) -> None:
        """Records the present gradients: those of the first micro-batch, divided by `factor`."""
        self._first = _square(parameters) * factor**2

    def whole(self, parameters: Iterable[nn.Parameter]) -> None:
        """Records the present gradients: those of the step, the mean over all samples, before clipping."""
        square = _square(parameters)
        first = square if self._first is None else self._first
        facts = torch.stack([square, first, torch.ones_like(square)]).double()
        self._sums += torch.where(facts.isfinite().all(), facts, 0.0)  # fp16 skips a step whose scale was too large
        self._first = None

    def read(self, micro: int, batch: int) -> dict[str, float]:
        """Returns the result of the steps since the last call, over all ranks, and resets.

        Args:
            micro: samples per micro-batch.
            batch: samples per step, over all ranks.

        Returns:
            `grad_norm`: root mean square of the step's gradient norm; `noise_scale`: the simple noise scale in samples,
            if it can be estimated.
        """
        whole, first, steps = self._ranks.total(self._sums.clone()).tolist()
        self._sums.zero_()
        if not steps:
            return {}
        whole, first = whole / steps, first / steps
        found = {"grad_norm": math.sqrt(whole)}
        if micro < batch and first != whole:
            signal = (batch * whole - micro * first) / (batch - micro)
            noise = (first - whole) / (1 / micro - 1 / batch)
            if signal > 0 and noise > 0:
                found["noise_scale"] = noise / signal
        return found


def _square(parameters: Iterable[nn.Parameter]) -> Tensor:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).float().square().sum()
