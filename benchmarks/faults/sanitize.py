"""Builds of the kernel that notice what a plain one gets away with: AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.faults.watchdog import ROOT

FLAGS = ["-std=c++17", "-O1", "-g", "-fPIC", "-ffp-contract=off", "-fwrapv", "-pthread", "-fno-omit-frame-pointer"]
CHECKS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def sanitized(place: Path) -> dict[str, str] | None:
    """Variables that make a child run on a kernel with sanitizers, built in `place`; None where it cannot be built."""
    sources = sorted((ROOT / "loaders" / "native").glob("*.cpp"))
    kernel, compiler = place / "kernel.so", os.environ.get("CXX", "g++")

    def compiled(source: Path) -> str:
        target = place / f"{source.stem}.o"
        subprocess.run([compiler, *FLAGS, *CHECKS, "-c", source, "-o", target], check=True, capture_output=True)
        return str(target)

    try:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(compiled, sources))
        link = [compiler, "-shared", "-pthread", *CHECKS, *objects, "-ljpeg", "-o", str(kernel)]
        subprocess.run(link, check=True, capture_output=True)
        runtimes = [_runtime(compiler, name) for name in ("libasan.so", "libubsan.so")]
    except (OSError, subprocess.CalledProcessError):
        return None
    return {
        "ETL_KERNEL": str(kernel),
        "LD_PRELOAD": " ".join(runtimes),  # before all others
        "ASAN_OPTIONS": "detect_leaks=0",  # Python leaks by design
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _runtime(compiler: str, name: str) -> str:
    found = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()
