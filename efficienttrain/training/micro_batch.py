"""Fits a stage's micro-batch to the GPU's memory: measures two small micro-batches and extrapolates linearly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch

from efficienttrain.curriculum import Stage
from efficienttrain.training.batch_layout import Layout
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.step_batches import Feed
from efficienttrain.training.train_state import TrainState

PROBES = (8, 16)
"""Samples of the measured micro-batches."""
USED = 0.85
"""Share of the free memory to fill; the rest is for batches loaded ahead, evaluation and fragmentation."""
MOMENTS = 8
"""Bytes per parameter that an optimizer allocates in its first step: two moments in float32."""


class Memory(Protocol):
    """Memory of the training device."""

    def room(self) -> int:
        """Bytes that this process can still allocate."""
        ...

    def peak(self, work: Callable[[], object]) -> int:
        """Bytes that `work()` has allocated at its peak, beyond those allocated before."""
        ...


class GPUMemory:
    """See `Memory`. Uses only the host's bookkeeping, without waiting for the GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def room(self) -> int:
        """See `Memory`: free bytes of the GPU, and bytes that torch has reserved but does not use."""
        free, _ = torch.cuda.mem_get_info(self._device)
        return free + torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)

    def peak(self, work: Callable[[], object]) -> int:
        """See `Memory`."""
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        work()
        return torch.cuda.max_memory_allocated(self._device) - before


def memory_of(device: torch.device) -> Memory | None:
    """The memory to which micro-batches are fitted; None on a CPU, where they are not fitted."""
    return GPUMemory(device) if device.type == "cuda" else None


def fitting(
    most: int, kept: int, *, memory: Memory, feed: Feed, train_state: TrainState, stage: Stage, step: int, ranks: Ranks
) -> int:
    """The largest micro-batch, at most `most`, that fits into the memory of every rank; `most` if it is small.

    Runs real batches forward and backward, and restores weights, running statistics and the feed's position. The feed
    needs a new `begin`.

    Args:
        most: samples.
        kept: bytes to leave free for the replay buffer.
        memory: of this rank's device.
        feed, train_state: of the training; the network has the stage's size and is not wrapped.
        step: number of the next step.
        ranks: all ranks must call this together.
    """
    if most <= PROBES[-1]:
        return most
    parameters = sum(parameter.numel() for parameter in train_state.model.parameters() if parameter.requires_grad)
    if not train_state.optimizer.state:
        kept += MOMENTS * parameters
    train_state.optimizer.zero_grad()
    cursor, statistics = feed.cursor, [buffer.clone() for buffer in train_state.model.buffers()]
    try:
        few, more = (memory.peak(_probe(size, feed, train_state, stage, step, ranks)) for size in PROBES)
        each = max(1, -(-(more - few) // (PROBES[1] - PROBES[0])))
        beside = max(0, few - PROBES[0] * each)
        train_state.optimizer.zero_grad()
        fits = int(USED * (memory.room() - kept) - beside) // each
    except torch.cuda.OutOfMemoryError:
        fits = PROBES[0] // 2
    train_state.optimizer.zero_grad()
    for buffer, before in zip(train_state.model.buffers(), statistics, strict=True):
        buffer.copy_(before)
    feed.rewind(cursor)
    return max(1, -int(ranks.largest(-min(most, fits))))


def _probe(
    size: int, feed: Feed, train_state: TrainState, stage: Stage, step: int, ranks: Ranks
) -> Callable[[], object]:
    """Prepares forward and backward of one micro-batch. Loads the batch now, so that only the network is measured."""
    feed.begin(stage, Layout(ranks.world_size, 1, size))
    batches = [next(feed.step(step))]

    def work() -> None:
        with _eager():
            train_state.accumulate(batches, 1, step)

    return work


def _eager() -> AbstractContextManager[Any]:
    """Disables torch.compile, which would compile for each measured size."""
    stance = getattr(torch.compiler, "set_stance", None)  # from torch 2.6 on
    return nullcontext() if stance is None else stance("force_eager")
