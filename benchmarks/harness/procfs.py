"""Memory and bytes read by a process and all its descendants, from Linux's /proc."""

from __future__ import annotations

import os
from pathlib import Path


def tree(root: int | None = None) -> list[int]:
    """Process ids of `root` (default: this process) and of everything it started."""
    pending, found = [root or os.getpid()], []
    while pending:
        pid = pending.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                pending += map(int, children.read_text().split())
            except OSError:  # the thread ended meanwhile
                continue
    return found


def memory() -> dict[str, float]:
    """Anonymous and shared memory of this process tree in MB (10^6 bytes).

    Pages that forked workers share are counted once (proportional set size); mapped files are not counted,
    since their pages belong to the page cache.
    """
    total = {"Pss_Anon": 0, "Pss_Shmem": 0}
    for pid in tree():
        for line in _lines(f"/proc/{pid}/smaps_rollup"):
            key, _, rest = line.partition(":")
            if key in total:
                total[key] += int(rest.split()[0])
    return {"anonymous_mb": total["Pss_Anon"] * 1.024e-3, "shared_mb": total["Pss_Shmem"] * 1.024e-3}


def bytes_read() -> int:
    """Bytes this process tree has read so far (read, pread), from cache or disk; mapped files do not count."""
    return _io("rchar")


def disk_bytes_read() -> int:
    """Bytes that this process tree has caused to be read from disks so far, for mapped files too."""
    return _io("read_bytes")


def _io(field: str) -> int:
    lines = (line.partition(": ") for pid in tree() for line in _lines(f"/proc/{pid}/io"))
    return sum(int(value) for key, _, value in lines if key == field)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # the process ended, or this kernel has no such file
        return []
