"""Sizes and times of many files or folders, read by many threads if the file system is slow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

PROBE = 64  # files read one after the other, to measure the time per file
SLOW = 100e-6  # seconds per file from which threads help: a local disk with a warm cache takes 2e-6, a network 1e-3
THREADS, BLOCK = 64, 64

_JPEG = (".jpg", ".jpeg")
_GROWTH, _GROWTH_OTHERS = 1.25, 4  # restart markers make JPEGs grow; other formats grow more

K = TypeVar("K")
T = TypeVar("T")


def file_stats(paths: Sequence[str]) -> list[tuple[int, int]]:
    """Bytes and modification time in nanoseconds of each file; (0, 0) for one that cannot be reached."""
    return many(_stat, paths)


def many(question: Callable[[K], T], files: Sequence[K]) -> list[T]:
    """The result of `question` for each file, in order."""
    start = time.perf_counter()
    answers = [question(file) for file in files[:PROBE]]
    if time.perf_counter() - start < SLOW * len(answers):
        return answers + [question(file) for file in files[PROBE:]]
    blocks = (files[k : k + BLOCK] for k in range(PROBE, len(files), BLOCK))
    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(lambda block: [question(file) for file in block], blocks):
            answers += found
    return answers


def _stat(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def largest_stored(names: Sequence[str], sizes: NDArray[np.int64]) -> int:
    """Upper estimate of the bytes of the largest image of a pyramid, from the names and bytes of its source's images.

    A larger image makes the pages grow.
    """
    # A smaller file of any format cannot become the largest, so only few names are examined.
    large = np.flatnonzero(sizes * _GROWTH_OTHERS >= sizes.max() * _GROWTH)
    jpeg = np.array([names[k].lower().endswith(_JPEG) for k in large.tolist()])
    return int((sizes[large] * np.where(jpeg, _GROWTH, _GROWTH_OTHERS)).max()) + (64 << 10)
