"""Matrix products that stay float32 even if torch is allowed a lower precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .device import settled

_TF32_MASK = -(1 << 13)  # TF32 keeps sign, exponent and 10 of 23 bits


def product(a: Tensor, b: Tensor) -> Tensor:
    """float32 `a @ b` with errors of float32, independent of `torch.set_float32_matmul_precision`.

    For speed, users allow products in TF32 or bfloat16 for the whole process. Networks tolerate this; pixels do not.
    """
    if _full(a.device):
        return a @ b
    if a.device.type == "cpu":
        return (a.double() @ b.double()).float()
    # Three products of high and low parts that TF32 holds exactly, or nearly: about 2**-20 of the factors is left out.
    a_high, b_high = _high(a), _high(b)
    return a_high @ b_high + (a_high @ (b - b_high) + (a - a_high) @ b_high)


@settled
def _full(device: torch.device) -> bool:
    """Whether products on `device` keep float32's 24 bits."""
    backend: Any = getattr(torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn, "matmul", None)
    if hasattr(backend, "fp32_precision"):  # from torch 2.9 on; the older attribute raises after this one was set
        return bool(backend.fp32_precision not in ("tf32", "bf16"))
    return torch.get_float32_matmul_precision() == "highest"


def _high(x: Tensor) -> Tensor:
    return (x.view(torch.int32) & _TF32_MASK).view(torch.float32)
