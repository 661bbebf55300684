"""`efficienttrain benchmark kernels`: CPU time of compiled kernels, against each other, on the same crops.

The kernels may come from different compilers or versions, as long as their ABI is that of this package. A kernel is a
file `_kernel.so`, as `python setup.py build_ext --build-lib DIR` writes it (CC and CXX choose the compiler).
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders.native import structs
from loaders.native.pool import KernelBatch, KernelOptions
from loaders.plan import plan_batch
from loaders.plan.filters import build
from loaders.sources import open_dataset

from .harness import machine
from .harness.measure import ratio

SAMPLES, TURN = 512, 64
"""Crops that each kernel decodes in a round, and those it decodes before the next kernel's turn."""
FAIRNESS = (
    "One thread of one process runs all kernels in turn, each on the same 64 crops; the files are in the page cache.",
    "A kernel's first 8 crops of a turn are not counted: they bring its code and tables into the processor's caches.",
    "CPU time of the thread, not wall time. The ratio is taken inside each round.",
)


class _Kernel:
    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(str(Path(path).resolve()))
        structs.check(library)
        library.et_build.restype, library.et_build.argtypes = ctypes.c_char_p, (ctypes.c_int32,)
        self.path, self.build = path, library.et_build(0).decode()
        self.decode_one = library.et_decode_one
        self.decode_one.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)

    def decode(self, batch: KernelBatch, crops: range) -> None:
        for i in crops:
            if status := self.decode_one(batch.address, i, None):
                raise ValueError(f"{self.path}: sample {i} ends with status {status}: {batch.message(i)}")


def run(
    *,
    data: str,
    kernels: Sequence[str],
    resolutions: Sequence[int] = (96, 160, 224),
    rounds: int = 7,
    seed: int = 0,
    work: str | None = None,  # noqa: ARG001
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes.

    Args:
        kernels: files, the first of which the others are compared with.
        rounds: in each, every kernel decodes `SAMPLES` crops.
        work: not used.

    Raises:
        LoaderError: a kernel of another ABI.
        ValueError: a sample that cannot be decoded.
    """
    loaded = [_Kernel(path) for path in kernels]
    dataset = open_dataset(data)
    try:
        results = [_measure(loaded, dataset, resolution, rounds, seed) for resolution in resolutions]
    finally:
        dataset.close()
    return {
        "benchmark": "kernels",
        "version": 1,
        "machine": machine.card(),
        "settings": {
            "data": Path(data).name,
            "samples": SAMPLES,
            "rounds": rounds,
            "seed": seed,
            "kernels": [{"path": kernel.path, "build": kernel.build} for kernel in loaded],
        },
        "fairness": list(FAIRNESS),
        "results": results,
    }


def _measure(kernels: list[_Kernel], dataset: Any, resolution: int, rounds: int, seed: int) -> dict[str, Any]:
    keys = np.arange(SAMPLES) % len(dataset)
    samples = plan_batch(dataset.entries(keys), keys, seed=seed, epoch=0, resolution=resolution, train=True)
    out = np.empty(SAMPLES * 3 * resolution**2, np.uint8)
    batch = KernelBatch(samples, KernelOptions(resolution, build(resolution), dataset.fd), out)
    pixels: list[NDArray[np.uint8]] = []
    for kernel in kernels:
        out[:] = 0
        kernel.decode(batch, range(SAMPLES))
        pixels.append(out.copy())
    times: list[list[float]] = [[] for _ in kernels]  # microseconds an image
    for round_ in range(rounds):
        sums = [0] * len(kernels)
        for first in range(0, SAMPLES, TURN):
            for turn in range(len(kernels)):
                which = (turn + round_) % len(kernels)
                kernels[which].decode(batch, range(first, first + 8))
                began = time.thread_time_ns()
                kernels[which].decode(batch, range(first, first + TURN))
                sums[which] += time.thread_time_ns() - began
        for spent, total in zip(times, sums, strict=True):
            spent.append(total / SAMPLES / 1000)
    return {
        "resolution": resolution,
        "microseconds": times,
        "over_first": [ratio(spent, times[0]) for spent in times],
        "same_pixels": all(np.array_equal(pixels[0], other) for other in pixels[1:]),
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [f"kernels on {machine.describe(report['machine'])}", *(f"  - {rule}" for rule in report["fairness"])]
    for result in report["results"]:
        same = "the same pixels" if result["same_pixels"] else "DIFFERENT PIXELS"
        lines += ["", f"{result['resolution']} px, {same}"]
        rows = zip(report["settings"]["kernels"], result["microseconds"], result["over_first"], strict=True)
        for kernel, spent, over in rows:
            name = f"{kernel['path']} ({kernel['build']})"
            lines.append(f"  {np.median(spent):8.1f} us an image, {over['median']:.3f} of the first: {name}")
    return "\n".join(lines)
