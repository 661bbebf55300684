"""`efficienttrain benchmark convert`: images per second of our converter and of FFCV's DatasetWriter, same workers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .harness import machine
from .harness.contestant import Job
from .harness.data import find, gather, warm
from .harness.measure import Child, Missing, interleave, ratio, summary
from .harness.report import workplace

FAIRNESS = (
    "Same image folder, page cache warm; each writes one file, which is deleted outside the window.",
    "Same number of workers (threads, processes), confined to the same number of CPUs; rounds interleaved.",
    "Ours writes three levels and keeps every coefficient of the source; FFCV re-encodes one level at quality 95.",
)


CONTESTANTS = {"ours": f"{__name__}:ours", "ffcv": f"{__name__}:ffcv"}


class Conversion:
    """A writer as a contestant: a round writes all images once, however long that takes."""

    def __init__(self, write: Callable[[Path], object], job: Job) -> None:
        self._write, self._images = write, len(find(Path(job.folder)))
        self._path = Path(job.work, f"{job.name}-converted.beton")
        self.delivered, self.output, self._size = 0, "beton", 0

    def round(self, _seconds: float) -> tuple[int, float]:
        start = time.perf_counter()
        self._write(self._path)
        elapsed = time.perf_counter() - start
        self._size = self._path.stat().st_size
        self._path.unlink()
        self.delivered += self._images
        return self._images, elapsed

    def facts(self) -> dict[str, float]:
        return {"bytes": self._size}


def ours(job: Job) -> Conversion:
    from loaders.conversion import convert

    return Conversion(lambda path: convert(job.folder, path, workers=job.threads), job)


def ffcv(job: Job) -> Conversion:
    from .peers.ffcv_ import write

    return Conversion(lambda path: write(job.folder, path, job.threads), job)


def run(
    data: str,
    *,
    threads: int,
    rounds: int = 3,
    repeat_to: int = 1500,
    limit: int | None = None,
    work: str | None = None,
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes."""
    card, notes = machine.card(), []
    with workplace(work) as place, ExitStack() as stack:
        records = gather(data, place, repeat_to, limit)
        warm(records)
        children = []
        for name, target in CONTESTANTS.items():
            job = Job(name, 0, threads, 0, str(records.folder), "", str(records.work))
            try:
                children.append(Child(target, job, log=records.work / f"{name}-convert.log"))
            except Missing as error:
                notes.append(f"Skipped: {name} is not available here ({error}).")
                continue
            stack.callback(children[-1].close)
        with tqdm(total=len(children) * (rounds + 1), desc="converting", leave=False, file=sys.stderr) as bar:
            answers = interleave(children, rounds, 0.0, lambda _: bar.update())
        source = sum(file.stat().st_size for file in find(records.folder))
    results = []
    for child, given in zip(children, answers, strict=True):
        rates = [answer["images"] / answer["seconds"] for answer in given]
        size = given[-1]["facts"]["bytes"]
        results.append(
            {
                "contestant": child.job.name,
                "rates": rates,
                "rate": summary(rates),
                "bytes": size,
                "bytes_per_source_byte": size / source,
            }
        )
    settings = {
        "data": records.name,
        "records": records.records,
        "mean_file_bytes": records.mean_bytes,
        "workers": threads,
        "rounds": rounds,
    }
    rates_of = {result["contestant"]: result["rates"] for result in results}
    over = {"ours_over_ffcv": ratio(rates_of["ours"], rates_of["ffcv"])} if "ffcv" in rates_of else {}
    return {
        "benchmark": "convert",
        "version": 1,
        "machine": card,
        "settings": settings,
        "fairness": list(FAIRNESS),
        "notes": notes,
        "results": results,
        "ratios": over,
    }
