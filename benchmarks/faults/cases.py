"""Which cases there are, and how many tries each gets."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.faults.watchdog import LIMIT, PATIENCE


class Case(NamedTuple):
    """A function of this package that yields tallies, with how many tries it gets.

    spread: it counts numbers from `first` on; the suite restarts it behind a crash. env: "sanitize" or "shim".
    backend: of the loader, where the function takes one. patience, limit: see `watch`.
    """

    name: str
    target: str
    quick: int
    full: int
    fault: str = ""
    spread: bool = False
    env: str = ""
    backend: str = ""
    patience: float = PATIENCE
    limit: float = LIMIT


def _damage(name: str, function: str, quick: int, full: int, fault: str, env: str = "sanitize") -> Case:
    return Case(name, f"benchmarks.faults.damage:{function}", quick, full, fault, spread=True, env=env, limit=600)


def _backends(name: str, function: str, quick: int, full: int, env: str = "") -> tuple[Case, ...]:
    """The same faults through the other backends."""
    target = f"benchmarks.faults.{function}"
    return tuple(
        Case(f"{name}-{backend}", target, quick, full, env=env, backend=backend, patience=120)
        for backend in ("ffcv", "dali")
    )


CASES = (
    Case("sound", "benchmarks.faults.damage:sound", 1, 1),
    _damage("jpeg-pool", "pool", 1000, 20000, "damaged JPEG: decoded"),
    _damage("jpeg-records", "records", 600, 10000, "damaged record: decoded"),
    _damage("jpeg-convert", "transcode", 500, 20000, "damaged JPEG: converted"),
    _damage("jpeg-loader", "loader", 200, 20000, "damaged JPEG: loaded", env=""),
    Case("flips", "benchmarks.faults.files:flips", 5, 150),
    *_backends("flips", "files:flips", 0, 3),
    Case("cuts", "benchmarks.faults.files:cuts", 20, 400),
    Case("swaps", "benchmarks.faults.files:swaps", 2, 40),
    *_backends("swaps", "files:swaps", 0, 5),
    Case("check-cost", "benchmarks.faults.cost:checks", 21, 101),
    Case("hostile", "benchmarks.faults.hostile:betons", 60, 3000),
    Case("names", "benchmarks.faults.hostile:names", 1, 1),
    Case("kill", "benchmarks.faults.kills:kill", 3, 50),
    Case("worker", "benchmarks.faults.kills:worker", 2, 20),
    Case("full-disk", "benchmarks.faults.kills:full_disk", 2, 15),
    Case("read-only", "benchmarks.faults.kills:read_only", 0, 2),
    Case("crowd", "benchmarks.faults.kills:crowd", 0, 15),
    Case("training", "benchmarks.faults.training:kill", 1, 12, patience=150),
    Case("disk", "benchmarks.faults.reading:disk", 4, 100, env="shim"),
    *_backends("disk", "reading:disk", 0, 20, env="shim"),
    Case("memory", "benchmarks.faults.reading:memory", 8, 200),
    Case("forks", "benchmarks.faults.reading:forks", 3, 12),
    Case("cycles", "benchmarks.faults.reading:cycles", 40, 600),
    *_backends("cycles", "reading:cycles", 0, 40),
    Case("epochs", "benchmarks.faults.reading:epochs", 0, 200),
    Case("consumers", "benchmarks.faults.load:consumers", 50, 1000),
    *_backends("consumers", "load:consumers", 0, 200),
    *_backends("threads", "load:threads", 0, 10),
    Case("batch-sizes", "benchmarks.faults.load:batch_sizes", 0, 12),
    Case("processes", "benchmarks.faults.load:processes", 0, 2, patience=150),
    Case("many-loaders", "benchmarks.faults.load:many_loaders", 0, 9),
    Case("peers-ours", "benchmarks.faults.peers:ours", 9, 30),
    *_backends("peers-ours", "peers:ours", 0, 30),
    Case("peers-ffcv", "benchmarks.faults.peers:ffcv", 0, 30, patience=180),
    Case("peers-dali", "benchmarks.faults.peers:dali", 0, 30, patience=120),
)
