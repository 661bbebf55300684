"""Helpers for the device of the images: division of work to suit its caches, copies to it, cached constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..batch import Batch

Function = TypeVar("Function", bound=Callable[..., Any])

CACHED = 1 << 17  # pixels processed at a time on a CPU; larger temporaries do not fit into its caches


def portions(images: Tensor, start: int = 0, stop: int | None = None) -> Iterator[slice]:
    """Slices of `images` [N, C, H, W], from `start` to `stop` (None: to the end), to be worked on one by one.

    On a CPU each slice has `CACHED` pixels, or is a single image. On other devices there is one slice. This also holds
    under torch.compile, which optimises cache use by itself. There is always at least one slice, which may be empty.
    """
    stop = len(images) if stop is None else stop
    step = stop - start
    if images.device.type == "cpu" and not torch.compiler.is_compiling():
        step = CACHED // max(1, images.shape[-2] * images.shape[-1])
    for first in range(start, max(stop, start + 1), max(1, step)):
        yield slice(first, min(first + max(1, step), stop))


def blank_like(
    images: Tensor, dtype: torch.dtype | None = None, memory_format: torch.memory_format = torch.preserve_format
) -> Tensor:
    """`torch.empty_like`, on a CPU in NumPy's memory.

    NumPy asks for huge pages and torch does not: of a large batch, the page faults in torch's memory take longer than
    a transform of the batch.
    """
    if images.device.type != "cpu" or not images.numel() or torch.compiler.is_compiling():
        return torch.empty_like(images, dtype=dtype, memory_format=memory_format)
    wanted = torch.empty_like(images, dtype=dtype, memory_format=memory_format, device="meta")
    memory = torch.from_numpy(np.empty(wanted.numel() * wanted.itemsize, np.uint8))
    return memory.view(wanted.dtype).as_strided(wanted.shape, wanted.stride())


def put(array: NDArray[Any], device: torch.device) -> Tensor:
    """`array` on `device`, without waiting for the device: uses pinned memory if the copy would wait otherwise."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def bits(values: Tensor) -> NDArray[Any]:
    """Floating-point numbers on the CPU as integers of their size: NumPy has no bfloat16."""
    return values.view(torch.int32 if values.itemsize == 4 else torch.int16).numpy()


def settled(function: Function) -> Function:
    """Makes `torch.compile` call `function` once, when it compiles, and keep the result.

    As `torch.compiler.assume_constant_result`, which however imports the compiler immediately; that takes seconds.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def drawn_by(
    batch: Batch | NDArray[np.int64], seed: int | None, epoch: int | None
) -> tuple[NDArray[np.int64], int, int]:
    """Draw keys, seed and epoch: those of a `Batch`, or those given one by one.

    Raises:
        TypeError: draw keys without `seed` or `epoch`.
    """
    if isinstance(batch, Batch):
        return batch.keys, batch.seed if seed is None else seed, batch.epoch if epoch is None else epoch
    if seed is None or epoch is None:
        raise TypeError("`seed` and `epoch` must be given with draw keys (sample indices); a `Batch` brings its own.")
    return np.asarray(batch, np.int64), seed, epoch


@settled
def constant(
    make: Callable[..., NDArray[np.float64]],
    *arguments: Any,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`make(*arguments)` as `dtype` on `device`, made once."""
    return _cached(make, arguments, device, dtype)


@lru_cache(maxsize=64)
def _cached(
    make: Callable[..., NDArray[np.float64]], arguments: tuple[Any, ...], device: torch.device, dtype: torch.dtype
) -> Tensor:
    with torch.inference_mode(False):  # tensors made in inference mode cannot be used for gradients later
        return torch.from_numpy(make(*arguments)).to(dtype).to(device)
