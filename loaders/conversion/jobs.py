"""Which sources are converted together, and what tells one set of sources from another."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from ..sources.scan import Sources
from .transcode import Job

JOB_FILES, JOB_BYTES = 32, 32 << 20  # a job ends before it would exceed either


def take(sources: Sources, limit: int | None) -> Sources:
    """`limit` samples, spread evenly so that a small trial still sees every class; None: all."""
    count = len(sources.names)
    if limit is None or limit >= count:
        return sources
    chosen = [k * count // limit for k in range(limit)]
    names, labels = [sources.names[k] for k in chosen], [sources.labels[k] for k in chosen]
    return sources._replace(names=names, labels=labels)


def fingerprint(sources: Sources) -> tuple[list[int], dict[str, Any]]:
    """Bytes of each source, and facts that differ when the sources do."""
    sizes, digest = [], hashlib.sha256()
    for name, label in zip(sources.names, sources.labels, strict=True):
        try:
            stat = os.stat(os.path.join(sources.root, name))
            size, modified = stat.st_size, stat.st_mtime_ns
        except OSError:  # a link to nowhere: its job will refuse it
            size, modified = 0, 0
        sizes.append(size)
        digest.update(b"%s\0%d %d %d\n" % (os.fsencode(name), label, size, modified))
    return sizes, {"images": len(sizes), "sources": digest.hexdigest(), "classes": sources.classes}


def largest_record(names: list[str], sizes: list[int]) -> int:
    """Bytes to allow for the largest record: markers make JPEGs grow, other formats grow more."""
    return max(
        int(size * (1.25 if name.lower().endswith((".jpg", ".jpeg")) else 4)) + (64 << 10)
        for name, size in zip(names, sizes, strict=True)
    )


def cut_jobs(sources: Sources, sizes: list[int], ratios: tuple[float, ...], quality: int, page_size: int) -> list[Job]:
    """Cuts the sources into jobs, in order; the same for any number of workers."""
    ends, files, total = [], 0, 0
    for k, size in enumerate(sizes):
        if files == JOB_FILES or (files and total + size > JOB_BYTES):
            ends.append(k)
            files, total = 0, 0
        files += 1
        total += size
    ends.append(len(sizes))
    return [
        Job(sources.root, start, sources.names[start:end], sizes[start:end], ratios, quality, page_size)
        for start, end in zip([0, *ends], ends, strict=False)
    ]
