"""Empties the page cache of a contestant's files, so that a window reads from the disk.

Only these files are concerned: no privilege is needed, and the rest of the machine is left alone. POSIX_FADV_DONTNEED
drops all pages that no process has mapped, so a contestant that maps its files (FFCV) gives these pages up first.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from .contestant import Job
from .data import find

DATA = (".beton", ".tar", ".mds", ".bin")  # of ours and FFCV, WebDataset, streaming, litData
PAGE = mmap.PAGESIZE
_MADV_DONTNEED = 4  # of Linux


def files(job: Job) -> list[Path]:
    """The files that a contestant may read: the images, our pyramid, and the data files in its work folder."""
    made = [path for path in Path(job.work).rglob("*") if path.is_file() and path.suffix in DATA]
    return sorted({path for path in (*find(Path(job.folder)), *made, Path(job.pyramid)) if path.exists()})


def drop(paths: Iterable[Path]) -> float:
    """Drops the files' pages from the page cache; returns the share of their bytes that is still there."""
    kept = total = 0
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(fd)  # pages that are not on the disk yet cannot be dropped
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            size = os.fstat(fd).st_size
            kept += _resident(fd, size) if size else 0
            total += size
        finally:
            os.close(fd)
    return kept / max(total, 1)


def _resident(fd: int, size: int) -> int:
    """Bytes of a file that are in the page cache."""
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        flags = np.zeros(-(-size // PAGE), np.uint8)
        failed = _libc().mincore(
            ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size), ctypes.c_void_p(flags.ctypes.data)
        )
        del view
    if failed:
        raise OSError(ctypes.get_errno(), "mincore failed")
    return min(int((flags & 1).sum()) * PAGE, size)


def release(paths: Iterable[Path]) -> None:
    """Gives up this process's mapped pages of these files; they are read again when they are needed."""
    names = {str(path.resolve()) for path in paths}
    for start, end in _mappings(names):
        _libc().madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _mappings(names: set[str]) -> Iterator[tuple[int, int]]:
    """Addresses at which files of these names are mapped in this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, *_, name = line.split(maxsplit=5)
        if name in names:
            start, _, end = place.partition("-")
            yield int(start, 16), int(end, 16)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
