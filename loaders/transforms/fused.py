"""Batch transforms on a GPU in a few launches: packs the random draws into one copy and starts the Triton kernels.

`RandAugment`, `RandomErasing` and `Mixup` call these functions if `usable` returns True, else operations of torch.
Every function queues its work on the current stream and returns; none waits for the device.
"""

from __future__ import annotations

import math
import warnings
from contextlib import nullcontext
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import keyed_noise
from .device import constant, put
from .randaugment_ops import Colour, cubic_weights, motion

BLOCK = 512
"""Pixels (or numbers) per program. A larger value makes the kernels' code longer and slower to compile."""

PROGRAMS = 65_535
"""Most programs for one image: CUDA's limit for a grid's second axis (CUDA C++ Programming Guide, Technical
Specifications per Compute Capability)."""


def usable(images: Tensor) -> bool:
    """Whether the kernels can process `images` [N, C, H, W]: on a CUDA device, not too large, and Triton works."""
    device, size = images.device, math.prod(images.shape[1:])
    if device.type != "cuda" or size > PROGRAMS * BLOCK or torch.compiler.is_compiling():
        return False
    return _runs(device)


def rand_augment(
    images: Tensor,
    op: NDArray[np.int64],
    argument: NDArray[np.float64],
    fill: Colour,
    finish: Tensor | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """All steps of `randaugment_ops.augment`, and the look-up that normalises: two launches per step, one copy.

    Args:
        images: uint8 [n, 3, B, B].
        op, argument: [n, steps], see `randaugment_ops.augment`.
        fill: see there.
        finish: [3, 256], the last step's output for each level; None: the uint8 level itself.
        memory_format: of the result.

    Returns:
        [n, 3, B, B] of the type of `finish`, or uint8.
    """
    n, _, _, side = images.shape
    steps, pixels = op.shape[1], side * side
    parameters = put(pack(op, argument, side), images.device)
    tables = torch.empty((n, 3, 256), dtype=torch.uint8, device=images.device)
    weights = constant(cubic_weights, device=images.device)
    images = images.contiguous()
    for step in range(steps):
        last = step == steps - 1
        table = finish if last and finish is not None else tables
        out = torch.empty(
            images.shape,
            dtype=table.dtype,
            device=images.device,
            memory_format=memory_format if last else torch.contiguous_format,
        )
        launch("tables", (n, 3), images, parameters[step], tables, pixels, pixels, BLOCK=2 * BLOCK)
        arguments = (images, parameters[step], weights, tables, table, out, side, *fill, *out.stride())
        launch("apply", (n, -(-pixels // BLOCK)), *arguments, FINISH=table is not tables, BLOCK=BLOCK)
        images = out
    return images


def pack(op: NDArray[np.int64], argument: NDArray[np.float64], side: int) -> NDArray[np.int32]:
    """The kernels' parameters, int32 [steps, n, 8]: operation, bits of a float32 argument, `motion`."""
    bits = argument.astype(np.float32).view(np.int32)
    moves = motion(op.ravel(), argument.ravel(), side).reshape(*op.shape, 6)
    packed = np.concatenate((op[..., None], bits[..., None], moves), axis=-1)
    return np.ascontiguousarray(packed.astype(np.int32).swapaxes(0, 1))


def erase(images: Tensor, row: NDArray[np.int64], box: NDArray[np.int64], key: NDArray[np.int64]) -> None:
    """Writes normal noise into boxes of `images`, in place: one launch, one copy; see `RandomErasing.draw`."""
    if not len(row):
        return
    boxes = put(np.column_stack((row, box, key)), images.device)
    quantiles = constant(keyed_noise.quantiles, device=images.device)
    grid = (len(row), -(-int((box[:, 2] * box[:, 3]).max()) // BLOCK))
    arguments = (images, boxes, quantiles, images.shape[3], images.shape[1], *images.stride())
    words = {"WEYL": keyed_noise.WEYL, "FIRST": keyed_noise.FIRST, "SECOND": keyed_noise.SECOND}
    launch("erase", grid, *arguments, **words, BLOCK=BLOCK)


def mix(images: Tensor, share: float, box: tuple[slice, slice] | None) -> Tensor:
    """Mixed copies, in one launch: each image with its mirror image in the batch; see `Mixup.draw`."""
    if not (images.is_contiguous() or images.is_contiguous(memory_format=torch.channels_last)):
        images = images.contiguous()
    out = torch.empty_like(images)
    n, size = len(images), images[0].numel()
    rows, columns = box or (slice(0, 0), slice(0, 0))
    edges = (rows.start, rows.stop, columns.start, columns.stop)
    sides = (*images.shape[2:], *images.stride()[2:])
    launch("mix", (n, -(-size // BLOCK)), images, out, n, size, *sides, share, *edges, CUT=box is not None, BLOCK=BLOCK)
    return out


def targets(labels: Tensor, classes: int, smoothing: float, share: float) -> Tensor:
    """float32 [n, classes], in one launch: smoothed targets of each image and its mirror image, mixed."""
    n, rest = len(labels), smoothing / classes
    out = torch.empty((n, classes), dtype=torch.float32, device=labels.device)
    numbers = (rest, 1 - smoothing + rest, share, 1 - share)
    launch("targets", (n, -(-classes // BLOCK)), labels.contiguous(), out, n, classes, *numbers, BLOCK=BLOCK)
    return out


def launch(name: str, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Starts a kernel of `gpu_kernels` on the current stream of the arguments' device."""
    device = arguments[0].device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        getattr(kernels(), name)[grid](*arguments, **constants, enable_fp_fusion=False)


def kernels() -> ModuleType:
    """The module of the kernels, imported when the first kernel is needed, because importing Triton takes a second."""
    from . import gpu_kernels

    return gpu_kernels


@lru_cache(maxsize=8)
def _runs(device: torch.device) -> bool:
    try:
        targets(torch.zeros(1, dtype=torch.int64, device=device), 1, 0.0, 1.0)
    except Exception as error:  # any error: it depends on whether Triton, its compiler or its driver is missing
        why = str(error).strip().splitlines() or [type(error).__name__]
        warnings.warn(
            f"Triton kernels do not run here ({why[-1][:160]}); augmentation on the GPU takes torch's operations, "
            "some hundred launches a batch. Triton needs a C compiler at run time.",
            RuntimeWarning,
            stacklevel=4,
        )
        return False
    return True
