"""`efficienttrain benchmark startup`: seconds until the first batch, and until the first one of another stage.

Every start is a process of its own, torch already imported; rounds are interleaved. "cold" has an empty numba cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .harness import machine
from .harness.measure import ROOT, Failed, summary

KINDS = ("torch", "ffcv, cold", "ffcv, warm", "FFCV")
FAIRNESS = (
    "Every start is a process of its own with torch imported; the clock runs from the import of the loader's package.",
    "`first`: to the first batch at B=96; `stage`: from asking for B=160 to its first batch, in the same process.",
    '"cold": numba\'s cache is an empty folder; "warm": the one that the start before left. FFCV caches nothing.',
    "FFCV runs its RandomResizedCrop decoder and flip on the same beton.",
)


def run(data: str, *, threads: int, rounds: int = 3, batch_size: int = 64, work: str | None = None) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes. data: a beton."""
    if not Path(data).is_file():
        raise ValueError(f"`--data` must be a beton, got {data}; `efficienttrain convert` makes one.")
    kinds = [kind for kind in KINDS if kind == "torch" or find_spec("ffcv")]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    card = machine.card()
    with tqdm(total=rounds * len(kinds), desc="starting", leave=False, file=sys.stderr) as bar:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=work) as cache:
                for kind in kinds:
                    found[kind].append(_start(kind, data, threads, batch_size, cache))
                    bar.update()
    results = [
        {"contestant": kind, **{what: summary([round_[what] for round_ in rounds_]) for what in rounds_[0]}}
        for kind, rounds_ in found.items()
    ]
    settings = {"threads": threads, "rounds": rounds, "batch_size": batch_size, "resolutions": [96, 160]}
    return {
        "benchmark": "startup",
        "version": 1,
        "machine": card,
        "settings": settings,
        "fairness": list(FAIRNESS),
        "notes": [] if find_spec("ffcv") else ["Skipped: FFCV is not available here."],
        "results": results,
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [f"startup on {machine.describe(report['machine'])}", *(f"  - {rule}" for rule in report["fairness"])]
    lines += [f"  - {note}" for note in report.get("notes", [])] + [""]
    lines.append(f"{'':14}{'first batch, s':>16}{'new stage, s':>16}")
    for result in report["results"]:
        first, stage = result["first"]["median"], result["stage"]["median"]
        lines.append(f"{result['contestant']:14}{first:16.2f}{stage:16.3f}")
    return "\n".join(lines)


def _start(kind: str, data: str, threads: int, batch_size: int, cache: str) -> dict[str, float]:
    command = [sys.executable, "-m", f"{__package__}.startup", kind.split(",")[0]]
    command += [os.path.abspath(data), str(threads), str(batch_size)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{kind}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _ours(backend: str, data: str, threads: int, batch_size: int) -> Callable[[int], Iterator[Any]]:
    from loaders import Loader

    loader = Loader(data, batch_size, backend=backend, num_workers=threads, resolution=96, dtype="uint8")

    def stage(resolution: int) -> Iterator[Any]:
        loader.set_stage(resolution=resolution)
        return iter(loader)

    return stage


def _ffcv(data: str, threads: int, batch_size: int) -> Callable[[int], Iterator[Any]]:
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip, ToTensor

    decoder = RandomResizedCropRGBImageDecoder((96, 96))
    pipelines = {"image": [decoder, RandomHorizontalFlip(), ToTensor()], "label": [IntDecoder(), ToTensor()]}
    order = OrderOption.RANDOM
    loader = Loader(data, batch_size, num_workers=threads, os_cache=True, order=order, pipelines=pipelines)

    def stage(resolution: int) -> Iterator[Any]:
        decoder.output_size = (resolution, resolution)
        return iter(loader)

    return stage


def _child(backend: str, data: str, threads: int, batch_size: int) -> dict[str, float]:
    import torch  # not part of the measurement

    assert torch
    seconds, began = {}, time.perf_counter()
    ffcv_beton = backend == "FFCV"
    stage = _ffcv(data, threads, batch_size) if ffcv_beton else _ours(backend, data, threads, batch_size)
    for what, resolution in (("first", 96), ("stage", 160)):
        images = next(stage(resolution))[0]
        seconds[what] = time.perf_counter() - began
        assert resolution in images.shape
        began = time.perf_counter()
    return seconds


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))), flush=True)
    os._exit(0)  # FFCV's thread would decode on to the end of its queue
