"""`efficienttrain benchmark cache`: an image folder read plainly, and with `Loader(cache=)`: first and later epochs.

In each round, at each resolution: an epoch of the folder; the first epoch with a new cache, during which background
threads convert; a wait until the pyramid is complete; an epoch that reads it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from loaders import Loader

from .harness import machine
from .harness.data import gather, warm
from .harness.measure import ratio, summary
from .harness.report import columns, head, workplace

EPOCHS = {
    "folder": "plain image folder",
    "first": "Loader(cache=), first epoch",
    "later": "Loader(cache=), later epochs",
}
PATIENCE = 1800.0  # seconds that a conversion may take
FAIRNESS = (
    "One process. In each round every resolution has its three epochs in turn; the first round is not counted.",
    "Ratios are taken inside a round, then their median. The page cache is warm; each round makes a new cache.",
    "Decoding threads as named; the converting threads are started by the loader, on the same processors.",
    "An epoch begins with the first request for a batch and ends with the last batch.",
)


def run(
    data: str,
    *,
    threads: int,
    resolutions: list[int] | None = None,
    batch_size: int = 64,
    rounds: int = 3,
    repeat_to: int = 1500,
    limit: int | None = None,
    seed: int = 0,
    work: str | None = None,
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes.

    Raises:
        FileNotFoundError: no such image folder.
    """
    sides, card = resolutions or [96, 160, 224], machine.card()
    rates: dict[tuple[int, str], list[float]] = {(side, epoch): [] for side in sides for epoch in EPOCHS}
    with workplace(work) as place:
        records = gather(data, place, repeat_to, limit)
        warm(records)
        options = {"batch_size": batch_size, "num_workers": threads, "seed": seed, "dtype": "uint8"}
        bar = tqdm(total=len(sides) * (rounds + 1), desc="rounds", leave=False, file=sys.stderr)
        with bar:
            for turn in range(rounds + 1):
                for side in sides:
                    found = _round(str(records.folder), records.work / "cache.beton", side, options)
                    if turn:
                        for epoch, rate in found.items():
                            rates[side, epoch].append(rate)
                    bar.update()
    settings = {"images": records.images, "records": records.records, "mean_file_bytes": records.mean_bytes}
    return {
        "benchmark": "cache",
        "version": 1,
        "machine": card,
        "settings": {
            "data": records.name,
            **settings,
            "threads": threads,
            "batch_size": batch_size,
            "rounds": rounds,
            "seed": seed,
            "resolutions": sides,
        },
        "fairness": list(FAIRNESS),
        "notes": [records.note] if records.note else [],
        "results": [
            {
                "resolution": side,
                "contestant": epoch,
                "label": EPOCHS[epoch],
                "rates": found,
                "rate": summary(found),
                "over_folder": ratio(found, rates[side, "folder"]),
            }
            for (side, epoch), found in rates.items()
        ],
    }


def _round(folder: str, cache: Path, side: int, options: dict[str, Any]) -> dict[str, float]:
    """Images per second of the three epochs."""
    with Loader(folder, resolution=side, **options) as loader:
        found = {"folder": _rate(loader)}
    cache.unlink(missing_ok=True)
    try:
        with Loader(folder, resolution=side, cache=str(cache), **options) as loader:
            found["first"] = _rate(loader)
            deadline = time.monotonic() + PATIENCE
            while not cache.exists():
                if time.monotonic() > deadline:
                    raise ValueError(f"the cache of `--data` is not complete after {PATIENCE:.0f} s")
                time.sleep(0.05)
        with Loader(folder, resolution=side, cache=str(cache), **options) as loader:
            found["later"] = _rate(loader)
    finally:
        cache.unlink(missing_ok=True)
    return found


def _rate(loader: Loader) -> float:
    start = time.perf_counter()
    images = sum(len(batch) for batch, _ in loader)
    return images / (time.perf_counter() - start)


def text(report: dict[str, Any]) -> str:
    """The report as a table: images per second, and in brackets over the plain folder's."""
    sides = report["settings"]["resolutions"]
    rows = [["images/s (÷ plain folder)", *(f"B = {side}" for side in sides)]]
    for epoch, label in EPOCHS.items():
        mine = {r["resolution"]: r for r in report["results"] if r["contestant"] == epoch}
        rows.append(
            [label, *(f"{mine[b]['rate']['median']:,.0f} ({mine[b]['over_folder']['median']:.2f})" for b in sides)]
        )
    return f"{head(report)}\n\n{columns(rows)}"
