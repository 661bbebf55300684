"""`efficienttrain benchmark gpu`: everything that needs a GPU, in one go: tests, checks, benchmarks, one JSON.

Each part is a process of its own; one that fails is reported and the others go on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .harness import machine
from .harness.data import gather
from .harness.measure import ROOT
from .harness.report import columns, workplace

PATIENCE = 3600.0  # s a part
FAIRNESS = (
    "Parts as their own reports say. Checks: batches of 256 at B = 96 out of a pyramid, float16, RandAugment at 8.",
)
BACKENDS = ("torch", "ffcv", "dali")


def run(data: str, *, threads: int, work: str | None = None, quick: bool = False) -> dict[str, Any]:
    """Runs all parts and returns the report that `--json` writes.

    Args:
        data: an image folder or a beton.
        threads: decoding threads, of ours and of every peer.
        work: where contestants' files are kept; None: a temporary folder.
        quick: short windows, few images: to see whether everything runs.

    Raises:
        ValueError: there is no GPU here.
        FileNotFoundError: no such data.
    """
    machine.require_gpu()
    with workplace(work) as place:
        pyramid = _pyramid(data, place, threads)
        where = ["--device", "cuda", "--threads", str(threads), "--rounds", "1" if quick else "5"]
        windows = ["--seconds", "1", "--limit", "500"] if quick else ["--seconds", "5"]
        data_options = ["--data", data, "--batch-size", "256", "--work", str(place), *windows]
        module = [sys.executable, "-m"]
        check = [*module, f"{__package__}.gpu_check", str(pyramid)]
        commands = {
            "tests": [*module, "pytest", "-q", "-m", "gpu", "tests"],
            **{f"check {name}": [*check, name, str(threads)] for name in BACKENDS},
            "ops": [*module, str(__package__), "ops", *where, "--batch-size", "1024"],
            "throughput": [*module, str(__package__), "throughput", *where, *data_options],
        }
        parts = {name: _part(name, command, place) for name, command in commands.items()}
    return {
        "benchmark": "gpu",
        "version": 1,
        "machine": {**machine.card(), **machine.cuda()},
        "settings": {"data": Path(data).resolve().name, "threads": threads, "quick": quick},
        "fairness": list(FAIRNESS),
        "notes": [f"{name} failed: {part['last']}" for name, part in parts.items() if part["status"]],
        "parts": parts,
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table: what ran, for how long, and its last line; the numbers are in the JSON."""
    rows = [["part", "status", "seconds", "last line"]]
    for name, part in report["parts"].items():
        rows.append([name, "ok" if part["status"] == 0 else "failed", f"{part['seconds']:.0f}", part["last"]])
    return f"{machine.describe(report['machine'])}\n\n{columns(rows)}"


def _pyramid(data: str, place: Path, threads: int) -> Path:
    from loaders import convert

    records = gather(data, place, 1500, 5000)
    if not records.pyramid.exists():
        convert(records.folder, records.pyramid, workers=threads)
    return records.pyramid


def _part(name: str, command: list[str], place: Path) -> dict[str, Any]:
    """Runs a command; a benchmark of ours writes its report beside, others print it as their last line."""
    out = place / f"{name.replace(' ', '-')}.json"
    writes = command[2] == __package__
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*command, *(["--json", str(out)] if writes else [])],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        status, said, complaint = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        status, said, complaint = -1, "", f"no end within {PATIENCE:.0f} s"
    lines = (said if status == 0 and not writes else said + complaint).strip().splitlines() or [""]
    result: Any = None
    if status == 0 and (writes or name.startswith("check")):
        result = json.loads(out.read_text() if writes else lines[-1])
    last = f"wrote {out.name}" if writes and status == 0 else lines[-1].strip()[:200]
    return {
        "status": status,
        "seconds": time.monotonic() - began,
        "last": last,
        "output": lines[-40:],
        "report": result,
    }
