"""Several ranks: set-up from torchrun's environment, and the collective operations that a training needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True)
class Ranks:
    """This process's rank in the process group. With one rank no method communicates."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this is the rank that logs, saves and prints."""
        return self.rank == 0

    def say(self, text: str) -> None:
        """Prints a line for the user to stderr, from the main rank only."""
        if self.main:
            print(text, file=sys.stderr, flush=True)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, in place."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        """The rows of all ranks, [n, ...], concatenated in the order of the ranks; their numbers may differ."""
        if self.world_size == 1:
            return values
        counts = torch.zeros(self.world_size, dtype=torch.int64, device=values.device)
        counts[self.rank] = len(values)
        ends = self.total(counts).cumsum(0).tolist()
        made = torch.zeros((ends[-1], *values.shape[1:]), dtype=values.dtype, device=values.device)
        made[ends[self.rank] - len(values) : ends[self.rank]] = values
        return self.total(made)

    def largest(self, value: float) -> float:
        """The largest over all ranks."""
        if self.world_size == 1:
            return value
        values = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return values.item()

    def average_gradients(self, model: nn.Module) -> None:
        """Averages the gradients over the ranks, as DistributedDataParallel does, but after the backward pass."""
        if self.world_size > 1:
            _average([p.grad for p in model.parameters() if p.grad is not None], self.world_size)

    def average_buffers(self, *models: nn.Module) -> None:
        """Replaces the running statistics by their mean over the ranks, because each rank has seen other data."""
        if self.world_size > 1:
            _average([b for model in models for b in model.buffers() if b.is_floating_point()], self.world_size)

    def barrier(self) -> None:
        """Waits for all ranks."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def group(device: str = "auto") -> Iterator[Ranks]:
    """The process group from torchrun's environment, with NCCL on GPUs, else gloo; a single rank without torchrun.

    Raises:
        ValueError: a GPU is requested and there is none.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError('`device` must be "cpu" or "auto" if torch sees no GPU, got "cuda".')
    gpu = device != "cpu" and torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if gpu and local >= torch.cuda.device_count():
        raise ValueError(
            f"one GPU is needed for each rank of this machine, got {torch.cuda.device_count()} for rank {local}; "
            "start torchrun with fewer --nproc-per-node."
        )
    place = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(place)
    ours = world_size > 1 and not dist.is_initialized()
    if ours:
        dist.init_process_group("nccl" if gpu else "gloo", device_id=place if gpu else None)
    try:
        if dist.is_initialized():
            yield Ranks(dist.get_rank(), dist.get_world_size(), place)
        else:
            yield Ranks(0, 1, place)
    finally:
        if ours:
            dist.destroy_process_group()


@torch.no_grad()
def _average(tensors: list[torch.Tensor], world_size: int) -> None:
    for dtype in {tensor.dtype for tensor in tensors}:
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        dist.all_reduce(flat)
        flat /= world_size
        for tensor, part in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(part.view_as(tensor))
