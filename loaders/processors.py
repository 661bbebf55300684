"""The number of processors that a loader may use, and this process's rank and world size."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping

from .control_groups import cpu_quota
from .values import whole

CPUS_VARIABLE = "EFFICIENTTRAIN_CPUS"
"""Environment variable: processors that a process and its children may use together, if no other limit is known."""


def default_workers(spare: int = 0) -> int:
    """Threads for one loader: the processors that this process may use, shared by the machine's ranks.

    spare: processors of each rank that its other threads need. Training on a GPU needs two: one thread launches the
        forward kernels, another the backward kernels.
    """
    ranks = local_ranks() if ray_share() is None else 1  # a Ray worker's processors are its own
    return max(1, available_processors() // ranks - spare)


def available_processors() -> int:
    """Processors that this process may use, at least 1.

    The least of its affinity, the CPU quota of its container, the processors of its Ray task, and EFFICIENTTRAIN_CPUS.
    """
    # macOS and Windows have no affinity.
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = (cpu_quota(), ray_share(), _number(os.environ.get(CPUS_VARIABLE)))
    return max(1, min([count, *(int(limit) for limit in limits if limit is not None)]))


def ray_share() -> float | None:
    """Processors of the Ray task or actor that runs in this process; None outside of Ray or without such a limit.

    A task has one processor unless it requests another number; an actor that requests none has no limit.
    """
    ray = sys.modules.get("ray")  # a Ray worker has imported it
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.worker.mode != ray.WORKER_MODE:
        return None
    cpus: float | None = context.get_assigned_resources().get("CPU")
    return cpus


def local_ranks(environment: Mapping[str, str] = os.environ) -> int:
    """Ranks that share this machine, by the launcher's environment variables; 1 without a launcher.

    torchrun, Ray and Accelerate set LOCAL_WORLD_SIZE; Slurm and MPI use other names. Lightning sets only
    WORLD_SIZE and LOCAL_RANK: its ranks are all on this machine if the master's address is, else there are at most
    as many as GPUs.
    """
    for name in ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"):
        if (found := _number(environment.get(name))) is not None:
            return max(1, found)
    world = _number(environment.get("WORLD_SIZE"))
    if world is None or "LOCAL_RANK" not in environment:
        return 1
    if environment.get("MASTER_ADDR", "localhost") in ("localhost", "127.0.0.1", "::1"):
        return max(1, world)
    import torch

    return max(1, min(world, torch.cuda.device_count() or 1))


def ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """This process's rank and the number of ranks: as given, else those of torch's process group, else 0 and 1.

    Warns if a launcher set RANK and WORLD_SIZE but there is no process group: every process would then load the
    whole data set.
    """
    if world_size is not None:
        return rank or 0, world_size
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    if (_number(os.environ.get("WORLD_SIZE")) or 1) > 1 and "RANK" in os.environ:
        warnings.warn(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but torch.distributed has no process group: every process "
            "loads all samples. Call init_process_group before iterating, or pass `rank` and `world_size`.",
            RuntimeWarning,
            stacklevel=3,
        )
    return 0, 1


def check_ranks(rank: int | None, world_size: int | None) -> None:
    """Raises ValueError unless both are given, with 0 <= rank < world_size, or neither."""
    if (rank is None) != (world_size is None):
        raise ValueError(f"`rank` and `world_size` must be given together, got {rank} and {world_size}.")
    if rank is None or world_size is None:
        return
    if not (whole(rank) and whole(world_size) and 0 <= rank < world_size):
        raise ValueError(f"`rank` must be a whole number from 0 to `world_size` - 1, got rank {rank} of {world_size}.")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None
