"""What the row checks cost: the kernel as it is against the same without them. Each function runs in a child."""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loaders import convert
from loaders.backends import BackendOptions
from loaders.backends.decoder import Decoder
from loaders.native import KernelBatch, KernelOptions
from loaders.native.kernel import library
from loaders.sources import open_dataset
from loaders.transforms.pipeline import OutputFormat
from tests.robustness import corpus
from tests.robustness.tally import LOST, SURVIVED, Tally
from tests.robustness.watchdog import ROOT

ALLOWED = 1.03
PHOTOS, SIZE = 64, (500, 375)  # about the size of ImageNet's
PARTS = 5  # the tries are split into: each gives a ratio
UNCHECKED = """#include "jpeg/row_check.h"
namespace et {
struct Unchecked {
  operator uint32_t() const { return 0; }
};
inline bool operator!=(uint32_t, Unchecked) { return false; }
}
#define row_check(bytes, size) Unchecked{}
"""
"""Seen before each source: every comparison with a check comes out equal, and none is computed."""


def checks(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """Batches decoded on one thread by both kernels in turn, `tries` times at each resolution.

    Of a loader's work this is the part that the checks belong to: planning and finishing would only dilute them.
    """
    tally = Tally("row checks cost at most 3 %")
    with tempfile.TemporaryDirectory() as place:
        path = _pyramid(Path(place))
        yield {"alive": 0}
        try:
            without = _without_checks(Path(place))
        except subprocess.CalledProcessError as error:
            yield {"skipped": f"the kernel cannot be built here: {error.stderr[-200:]!r}"}
            return
        with open_dataset(path) as dataset:
            decoder = Decoder(dataset, BackendOptions(train=True, seed=seed))
            for side in (96, 160, 224):
                format = OutputFormat.pixels(side)
                samples = decoder.plan(format, 0, np.arange(PHOTOS)).samples
                out = np.zeros(PHOTOS * 3 * side * side, np.uint8)
                work = KernelBatch(samples, KernelOptions(side, decoder.filter(format), dataset.fd), out)
                q1, median, q3 = statistics.quantiles(_ratios(work, without, tries), n=4)
                tally.add(SURVIVED if median <= ALLOWED else LOST, f"B = {side}: {median - 1:+.1%}")
                tally.facts[f"percent_{side}"] = [round(100 * (q - 1), 2) for q in (median, q1, q3)]
                yield {"alive": side}
    yield tally.as_dict()


def _ratios(work: KernelBatch, without: ctypes.CDLL, tries: int) -> list[float]:
    """Time with the checks / without them, by each photo's quickest turn in each of `PARTS` parts of all turns."""
    seconds: dict[ctypes.CDLL, list[list[float]]] = {library(): [], without: []}
    for number in range(-2, tries):
        for kernel in (library(), without) if number % 2 else (without, library()):
            spent = _seconds(work, kernel)
            if number >= 0:  # the first rounds warm up
                seconds[kernel].append(spent)
    parts = (np.array_split(np.array(seconds[kernel]), PARTS) for kernel in (library(), without))
    return [float(checked.min(0).sum() / plain.min(0).sum()) for checked, plain in zip(*parts, strict=True)]


def _seconds(work: KernelBatch, kernel: ctypes.CDLL) -> list[float]:
    """Of each photo."""
    spent = []
    for i in range(len(work.status)):
        address, number = ctypes.c_void_p(work.address), ctypes.c_int64(i)
        start = time.perf_counter()
        kernel.et_decode_one(address, number, None)
        spent.append(time.perf_counter() - start)
    if work.status.any():
        raise RuntimeError(f"a sound sample failed: {work.message(int(work.status.argmax()))}")
    return spent


def _without_checks(place: Path) -> ctypes.CDLL:
    """The kernel built as it always is, but for the checks."""
    header = place / "unchecked.h"
    header.write_text(UNCHECKED)
    flags = f"-include {header}"
    command = [sys.executable, "setup.py", "--quiet", "build_ext"]
    command += ["--build-temp", str(place / "objects"), "--build-lib", str(place / "built")]
    environment = {**os.environ, "CFLAGS": flags, "CXXFLAGS": flags}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (built,) = (place / "built").rglob("_kernel*")
    return ctypes.CDLL(str(built))


def _pyramid(place: Path) -> Path:
    (place / "photos" / "class").mkdir(parents=True)
    for key in range(PHOTOS):
        (place / "photos" / "class" / f"{key:04d}.jpg").write_bytes(corpus.make("4:2:0", *SIZE, key=key))
    convert(place / "photos", place / "x.beton", workers=1)
    return place / "x.beton"
