"""The limits of control groups of both versions, at the root and below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from loaders.control_groups import cpu_quota, free_memory


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
    assert cpu_quota(tmp_path, tmp_path / "none") == quota


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/system.slice/job.scope", {"cpu.max": "max 100", "system.slice/cpu.max": "300 100"}, 3.0),
        ("0::/a/b", {"a/cpu.max": "300 100", "a/b/cpu.max": "200 100"}, 2.0),
        ("0::/a/b", {"a/cpu.max": "150 100", "a/b/cpu.max": "200 100"}, 1.5),
        ("0::/../other", {"cpu.max": "200 100", "other/cpu.max": "400 100"}, 2.0),
        ("4:memory:/m\n1:cpu,cpuacct:/j", {"cpu/j/cpu.cfs_quota_us": "50", "cpu/j/cpu.cfs_period_us": "20"}, 2.5),
        ("4:memory:/m", {"m/cpu.max": "100 100", "cpu/m/cpu.max": "100 100"}, None),
    ],
)
def test_the_least_quota_of_all_groups_counts(
    tmp_path: Path, own: str, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text(own + "\n")
    assert cpu_quota(tmp_path, tmp_path / "own") == quota


def write(folder: Path, limit: str, used: int, cache: int, version: int = 2) -> None:
    """A group's three files about its memory."""
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cache}\n")


def test_the_page_cache_of_a_control_group_is_free_memory(tmp_path: Path) -> None:
    write(tmp_path, "9000", 8000, 7000)
    assert free_memory(tmp_path, tmp_path / "none") == 8000


def test_the_least_free_memory_of_all_groups_counts(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/user.slice/job\n")
    write(tmp_path / "user.slice", "90000", 8000, 7000)
    write(tmp_path / "user.slice/job", "max", 8000, 7000)
    assert free_memory(tmp_path, tmp_path / "own") == 89000
    write(tmp_path / "user.slice/job", "9000", 8000, 0)
    assert free_memory(tmp_path, tmp_path / "own") == 1000


def test_memory_in_version_1(tmp_path: Path) -> None:
    assert free_memory(tmp_path, tmp_path / "none") is None
    (tmp_path / "own").write_text("4:memory:/m\n1:cpu,cpuacct:/j\n")
    write(tmp_path / "memory/m", "9000", 8000, 7000, version=1)
    write(tmp_path / "memory/j", "10", 5, 0, version=1)
    assert free_memory(tmp_path, tmp_path / "own") == 8000
