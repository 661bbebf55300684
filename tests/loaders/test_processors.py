"""Threads by affinity, quota and local ranks; ranks by argument, process group or environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loaders import processors
from loaders.processors import available_processors, check_ranks, default_workers, local_ranks, ranks


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_quotas_of_both_versions(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert processors._cpu_quota(tmp_path) == quota


def test_the_smaller_of_affinity_and_quota_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for quota, count in ((None, 8), (2.5, 2), (0.5, 1), (64.0, 8)):
        monkeypatch.setattr(processors, "_cpu_quota", lambda quota=quota: quota)
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
