"""Threads by affinity, quota and local ranks; ranks by argument, process group or environment."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from loaders import processors
from loaders.processors import available_processors, check_ranks, default_workers, local_ranks, ranks


def test_a_ray_task_uses_its_processors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(processors, "cpu_quota", lambda: None)
    monkeypatch.setattr(processors, "local_ranks", lambda: 4)

    def ray(assigned: dict[str, float], mode: int = 1, initialized: bool = True) -> SimpleNamespace:
        context = SimpleNamespace(worker=SimpleNamespace(mode=mode), get_assigned_resources=lambda: assigned)
        return SimpleNamespace(
            is_initialized=lambda: initialized, get_runtime_context=lambda: context, WORKER_MODE=1
        )  # fmt: skip

    for stand_in, count, workers in (
        (ray({"CPU": 3.0}), 3, 3),  # its own, whatever the number of local ranks
        (ray({"CPU": 0.5}), 1, 1),
        (ray({"CPU": 64.0}), 8, 8),
        (ray({"GPU": 1.0}), 8, 2),  # no limit
        (ray({"CPU": 3.0}, mode=0), 8, 2),  # a driver
        (ray({"CPU": 3.0}, initialized=False), 8, 2),
    ):
        monkeypatch.setitem(sys.modules, "ray", stand_in)
        assert (available_processors(), default_workers()) == (count, workers)


def test_the_environment_limits_a_process_and_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(processors, "cpu_quota", lambda: None)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    for text, count in (("6", 6), ("64", 8), ("0", 1), ("many", 8)):
        monkeypatch.setenv("EFFICIENTTRAIN_CPUS", text)
        assert available_processors() == count
    monkeypatch.setenv("EFFICIENTTRAIN_CPUS", "6")
    monkeypatch.setattr(processors, "local_ranks", lambda: 3)
    assert default_workers() == 2


def test_the_smaller_of_affinity_and_quota_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for quota, count in ((None, 8), (2.5, 2), (0.5, 1), (64.0, 8)):
        monkeypatch.setattr(processors, "cpu_quota", lambda quota=quota: quota)
        assert available_processors() == count
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_processors() == 6


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"LOCAL_WORLD_SIZE": "4"}, 4),
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 2),
        ({"WORLD_SIZE": "8"}, 1),  # no launcher of this machine
        ({"WORLD_SIZE": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1"}, 3),  # Lightning's, one machine
        ({"WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.7"}, 1),  # several, without GPUs
    ],
)
def test_local_ranks_by_launcher(environment: dict[str, str], count: int) -> None:
    assert local_ranks(environment) == count


def test_ranks_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "available_processors", lambda: 16)
    monkeypatch.setattr(processors, "local_ranks", lambda: 3)
    assert default_workers() == 5


def test_a_launcher_without_a_process_group_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks(None, None) == (0, 1)
    assert ranks(1, 4) == (1, 4)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.warns(RuntimeWarning, match="WORLD_SIZE is 2, but torch.distributed has no process group"):
        assert ranks(None, None) == (0, 1)


@pytest.mark.parametrize(("rank", "world_size"), [(0, None), (None, 2), (2, 2), (-1, 2)])
def test_ranks_are_checked(rank: int | None, world_size: int | None) -> None:
    with pytest.raises(ValueError, match="`rank`"):
        check_ranks(rank, world_size)
