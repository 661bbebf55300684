"""`efficienttrain benchmark remote`: a pyramid in a store with latency, against the same file on the local disk.

Every epoch of one is followed by the same epoch of the other. The store is an HTTP server in a process of its own on
this machine, so it takes processor time from the loader; images/s are a lower limit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from loaders import Loader, open_dataset

from .harness import machine
from .harness.measure import summary
from .harness.range_server import counts, serving

ORDERS: dict[str, Any] = {"quasi": "quasi", "random": True}
FAIRNESS = (
    "Epochs, local and remote in turn, after one of each that is not counted. The local file is in the page cache.",
    "The store answers every request after the latency that is named; nothing is cached (no `cache_dir`).",
    "bytes: sent by the store, as a share of all full-size records; requests: answered by it. Both without the index.",
    "The store runs on the same processors as the loader.",
    "cpu: the loader's processor time for an image, local / remote. Where processors are the limit and the store has "
    "its own, the ratio of speeds tends to it.",
)


def run(
    data: str,
    *,
    threads: int,
    rounds: int = 3,
    batch_size: int = 256,
    resolutions: list[int] | None = None,
    latency: float = 0.03,
    seed: int = 0,
    work: str | None = None,  # noqa: ARG001  (an option of all benchmarks)
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes.

    Args:
        data: a pyramid.
        latency: seconds before each answer of the store.
    """
    if not Path(data).is_file():
        raise ValueError(f"`--data` must be a pyramid, got {data}; `efficienttrain convert` makes one.")
    sides, card = resolutions or [96, 160, 224], machine.card()
    with open_dataset(data) as dataset:
        images, full = len(dataset), _full_bytes(dataset)
    results = []
    bar = tqdm(total=len(ORDERS) * len(sides) * (rounds + 1), desc="epochs", leave=False, file=sys.stderr)
    with bar, serving(data, latency) as url:
        for order, shuffle in ORDERS.items():
            options: dict[str, Any] = {"shuffle": shuffle, "seed": seed, "num_workers": threads, "dtype": "uint8"}
            with (
                Loader(data, batch_size, resolution=sides[0], drop_last=False, **options) as local,
                Loader(url, batch_size, resolution=sides[0], drop_last=False, **options) as remote,
            ):
                for side in sides:
                    local.set_stage(resolution=side)
                    remote.set_stage(resolution=side)
                    epochs = []
                    for _ in range(rounds + 1):
                        epochs.append(_epochs(local, remote, url, images))
                        bar.update()
                    results.append(_result(order, side, epochs[1:], images, full))
    settings = {"threads": threads, "rounds": rounds, "batch_size": batch_size, "latency": latency, "images": images}
    return {
        "benchmark": "remote",
        "version": 1,
        "machine": card,
        "settings": {**settings, "resolutions": sides, "seed": seed},
        "fairness": list(FAIRNESS),
        "results": results,
    }


def _full_bytes(dataset: Any) -> int:
    """Bytes of all full-size records."""
    block = 1 << 16
    starts = range(0, len(dataset), block)
    return sum(int(dataset.entries(range(k, min(k + block, len(dataset))))[:, 0]["size"].sum()) for k in starts)


def _epochs(local: Loader, remote: Loader, url: str, images: int) -> dict[str, float]:
    """One epoch of each: images/s, their ratio, that of processor times, and what the store answered."""
    wall, processor = _seconds(local)
    requests, size = counts(url)
    wall_remote, processor_remote = _seconds(remote)
    after = counts(url)
    return {
        "local": images / wall,
        "remote": images / wall_remote,
        "ratio": wall / wall_remote,
        "cpu": processor / processor_remote,
        "requests": after[0] - requests,
        "bytes": after[1] - size,
    }


def _seconds(loader: Loader) -> tuple[float, float]:
    """Seconds that an epoch takes, and this process's processor time for it."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in loader:
        pass
    return time.perf_counter() - wall, time.process_time() - processor


def _result(order: str, side: int, epochs: list[dict[str, float]], images: int, full: int) -> dict[str, Any]:
    return {
        "order": order,
        "resolution": side,
        "requests_per_image": sum(epoch["requests"] for epoch in epochs) / len(epochs) / images,
        "share_of_bytes": sum(epoch["bytes"] for epoch in epochs) / len(epochs) / full,
        **{what: summary([epoch[what] for epoch in epochs]) for what in ("local", "remote", "ratio", "cpu")},
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    delay = 1000 * report["settings"]["latency"]
    lines = [f"remote, {delay:.0f} ms a request, on {machine.describe(report['machine'])}"]
    lines += [f"  - {rule}" for rule in report["fairness"]]
    lines += [
        "",
        f"{'order':8}{'B':>5}{'requests/image':>16}{'bytes/full':>12}{'local/s':>10}{'remote/s':>10}{'ratio':>8}{'cpu':>8}",
    ]
    for row in report["results"]:
        speeds = "".join(f"{row[what]['median']:10.0f}" for what in ("local", "remote"))
        share = f"{row['requests_per_image']:16.3f}{row['share_of_bytes']:11.0%} "
        lines.append(
            f"{row['order']:8}{row['resolution']:5d}{share}{speeds}{row['ratio']['median']:8.2f}{row['cpu']['median']:8.2f}"
        )
    return "\n".join(lines)
