"""`efficienttrain benchmark nodes`: conversion on a Ray cluster of one node, and of two, with a processor each.

The nodes are Ray's own imitation of a cluster: groups of processes on this machine, which needs three processors.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from loaders.conversion import convert_on_ray

from .harness import machine
from .harness.measure import summary
from .harness.report import workplace

FAIRNESS = (
    "Each node has one processor by Ray's account and converts one part at a time in one thread.",
    "One node and two in turn, after one conversion with each that is not counted.",
    "The time is that of the whole call: listing, tasks, manifest. Workers are running before it.",
    "All nodes share this machine's disk and memory; the driver needs a processor, too.",
)


def run(data: str, *, threads: int, rounds: int = 3, parts: int = 8, work: str | None = None) -> dict[str, Any]:  # noqa: ARG001
    """Measures and returns the report that `--json` writes.

    Args:
        data: what to convert.
        parts: of each conversion.

    Raises:
        ValueError: Ray is not installed.
    """
    try:
        ray, utils = importlib.import_module("ray"), importlib.import_module("ray.cluster_utils")
    except ImportError:
        raise ValueError("this benchmark needs Ray, which is not installed: pip install ray") from None
    card, found, images = machine.card(), [], 0
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        with workplace(work) as place, tqdm(total=2 * (rounds + 1), desc="conversions", file=sys.stderr) as bar:
            for _ in range(rounds + 1):
                images, one = _convert(data, place / "x.beton", cluster.address, parts)
                bar.update()
                second = cluster.add_node(num_cpus=1)
                cluster.wait_for_nodes()
                convert_on_ray(data, place / "x.beton", cluster.address, parts=2, limit=2, restart=True)  # its workers
                _, two = _convert(data, place / "x.beton", cluster.address, parts)
                bar.update()
                cluster.remove_node(second)
                found.append({"one": images / one, "two": images / two, "ratio": one / two})
    finally:
        ray.shutdown()
        cluster.shutdown()
    return {
        "benchmark": "nodes",
        "version": 1,
        "machine": card,
        "settings": {"rounds": rounds, "parts": parts, "images": images},
        "fairness": list(FAIRNESS),
        "results": {what: summary([each[what] for each in found[1:]]) for what in ("one", "two", "ratio")},
    }


def _convert(data: str, out: Path, address: str, parts: int) -> tuple[int, float]:
    """Images, and seconds that their conversion takes."""
    begun = time.perf_counter()
    images = convert_on_ray(data, out, address, parts=parts, restart=True, on_error="skip").images
    return images, time.perf_counter() - begun


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [f"nodes, on {machine.describe(report['machine'])}"]
    lines += [f"  - {rule}" for rule in report["fairness"]]
    found = {what: values["median"] for what, values in report["results"].items()}
    lines += ["", f"one node  {found['one']:8.0f} images/s", f"two nodes {found['two']:8.0f} images/s"]
    return "\n".join([*lines, f"ratio     {found['ratio']:8.2f}"])
