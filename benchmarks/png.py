"""`efficienttrain benchmark png`: a folder of files that Pillow decodes, with one worker and with several.

The folder is made for the run: PNG files of 500 x 375 pixels. Rounds are interleaved.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from loaders import Loader

from .harness import machine
from .harness.measure import ratio, summary
from .harness.report import workplace

IMAGES = 64
FAIRNESS = (
    "One process and one loader for each number of workers; rounds are interleaved; the files are in the page cache.",
    "A round is one epoch; the ratio is taken inside each round.",
)


def run(*, threads: int = 2, rounds: int = 7, work: str | None = None) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes.

    Raises:
        ValueError: fewer than two threads, or not run in a checkout.
    """
    if threads < 2:
        raise ValueError(f"`--threads` must be at least 2, to be compared with one, got {threads}.")
    rates: dict[int, list[float]] = {1: [], threads: []}
    limits: dict[int, str] = {}
    with workplace(work) as place, tempfile.TemporaryDirectory(dir=place) as name:
        _make(Path(name) / "a")
        options: dict[str, Any] = {"batch_size": 16, "resolution": 160, "dtype": "uint8"}
        with Loader(name, num_workers=1, **options) as one, Loader(name, num_workers=threads, **options) as several:
            loaders = {1: one, threads: several}
            for round_ in range(rounds + 1):  # the first reads headers and starts threads
                for workers, loader in loaders.items():
                    began = time.perf_counter()
                    images = sum(len(batch) for batch, _ in loader)
                    if round_:
                        rates[workers].append(images / (time.perf_counter() - began))
                    limits[workers] = loader.stats()["limited_by"]
    results = [
        {"workers": workers, "images_s": summary(found), "limited_by": limits[workers]}
        for workers, found in rates.items()
    ]
    return {
        "benchmark": "png",
        "version": 1,
        "machine": machine.card(),
        "settings": {"images": IMAGES, "rounds": rounds, "resolution": 160},
        "fairness": list(FAIRNESS),
        "results": results,
        "ratio": ratio(rates[threads], rates[1]),
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [f"png on {machine.describe(report['machine'])}", *(f"  - {rule}" for rule in report["fairness"]), ""]
    for result in report["results"]:
        rate = result["images_s"]["median"]
        lines.append(f"{result['workers']} worker(s): {rate:7.1f} images/s, limited by {result['limited_by']}")
    return "\n".join([*lines, f"ratio: {report['ratio']['median']:.2f}"])


def _make(folder: Path) -> None:
    import numpy as np

    try:
        from tools import synth
    except ModuleNotFoundError:
        raise ValueError("this benchmark draws its images by tools/synth.py; run it in a checkout.") from None
    folder.mkdir()
    for i in range(IMAGES):
        rng = np.random.Generator(np.random.Philox(key=[11, i]))
        canvas = np.clip(synth.background(rng, 500, 375), 0, 1) * 255
        Image.fromarray(np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))).save(folder / f"{i}.png")
