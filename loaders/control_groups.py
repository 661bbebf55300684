"""The limits of this process's control groups, of version 2, else version 1: CPU time and memory.

The process's own group and all groups above it count. In a container the root is usually the container's group;
elsewhere, as under systemd or Slurm, the group lies deeper.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def cpu_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Number of processors that the least CPU quota allows; None: no limit."""
    quotas = [quota for folder in _folders("cpu", root, own) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def free_memory(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes that the group with the least free memory may still allocate; None: no limit.

    The page cache counts as free, because the system can free it at any time.
    """
    found = [free for folder in _folders("memory", root, own) if (free := _free_of(folder)) is not None]
    return min(found, default=None)


def _folders(controller: str, root: Path, own: Path) -> list[Path]:
    """The folders of this process's control groups for "cpu" or "memory", and all above them."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    folders = [root, root / controller]
    for line in lines:
        if len(line) == 3 and (line[1] == "" or controller in line[1].split(",")):
            base = root if line[1] == "" else root / controller
            parts = [part for part in line[2].split("/") if part not in ("", "..")]
            folders += [base.joinpath(*parts[: k + 1]) for k in range(len(parts))]
    return folders


def _quota_of(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota == "max" or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)


def _free_of(folder: Path) -> int | None:
    for limit_name, used_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit = (folder / limit_name).read_text().strip()
            used = int((folder / used_name).read_text())
            kinds = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        return None if limit == "max" else int(limit) - used + int(kinds[cache_name])
    return None
