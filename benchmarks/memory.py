"""`efficienttrain benchmark memory`: peak memory of a conversion, by the number of samples.

The source is simulated: one image of 16 x 16 pixels under as many names as wanted. So the memory shown is that of
planning, journal, index and tables, not that of decoding images.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import machine
from .harness.report import workplace

CLASSES = 1000


class Simulated:
    """Any number of samples, none of which takes memory. See `loaders.sources.Source`."""

    path = "simulated"

    def __init__(self, samples: int) -> None:
        import numpy as np

        from loaders import native
        from loaders.sources import FieldType

        self.classes = [f"class{k:04d}" for k in range(CLASSES)]
        self.fields = {"label": FieldType("int")}
        self._samples, self._image = samples, native.encode(np.full((16, 16, 3), 99, np.uint8), 80)

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, k: int) -> Any:
        from loaders.sources import Sample

        return Sample(f"class{k % CLASSES:04d}/picture_{k:09d}.jpg", self._image, {"label": k % CLASSES})

    def samples(self, start: int = 0) -> Iterator[Any]:
        return (self[k] for k in range(start, self._samples))

    def fingerprint(self) -> str:
        return str(self._samples)


def run(*, samples: list[int], threads: int = 1, work: str | None = None) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes. Each number of samples has a process of its own."""
    results = []
    with workplace(work) as home:
        for count in samples:
            with tempfile.TemporaryDirectory(dir=home) as place:
                command = [sys.executable, "-m", __name__, str(count), str(threads), place]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    settings = {"threads": threads}
    return {"benchmark": "memory", "version": 1, "machine": machine.card(), "settings": settings, "results": results}


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = ["samples     peak MB   of which before   index and names MB   seconds"]
    for row in report["results"]:
        lines.append(
            f"{row['samples']:>9,}  {row['peak_mb']:8.0f}  {row['before_mb']:16.0f}  {row['index_mb']:19.0f}"
            f"  {row['seconds']:8.0f}"
        )
    return "\n".join(lines)


def measure(samples: int, threads: int, place: str) -> dict[str, Any]:
    """Peak resident memory of one conversion in this process, MB (10^6 bytes), and the memory in use before it."""
    from loaders import convert
    from loaders.sources import open_dataset
    from loaders.sources.pyramid import Pyramid

    source, out = Simulated(samples), Path(place, "x.beton")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from now on
    before, start = _resident("VmRSS"), time.perf_counter()
    convert(source, out, workers=threads)
    peak, seconds = _resident("VmHWM"), time.perf_counter() - start
    with open_dataset(out) as dataset:
        assert isinstance(dataset, Pyramid)
        index = sum(int(dataset.private[name]["size"]) for name in ("index", "names"))
    return {
        "samples": samples,
        "before_mb": before,
        "peak_mb": peak,
        "seconds": seconds,
        "index_mb": index / 1e6,
    }


def _resident(key: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024e-6
    raise ValueError(f"/proc/self/status has no {key}")


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
