"""`efficienttrain benchmark gpu`: everything that needs a GPU, within a time budget, the most informative parts first.

Each part runs in a separate process. A part that fails or runs out of time is reported with its results so far, and the
next one runs. The JSON is written after every finding, so that a report exists even if the machine is taken away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .harness import machine
from .harness.data import gather
from .harness.measure import ROOT
from .harness.report import columns, workplace, write_json

LEAST = 15.0
"""Seconds that must be left for a part to begin."""
FAIRNESS = (
    "Training images/s with the loader are divided by those with one batch that stays on the GPU: same step, same run.",
    "torchvision's DataLoader has as many workers as our loader has threads, and its own RandAugment.",
    "Batches of 256, bfloat16, RandAugment at 8 unless a line says otherwise.",
)


@dataclass(frozen=True)
class Part:
    """A part of the benchmark."""

    name: str
    command: list[str]
    share: float
    """Of the whole budget, at most."""
    needs: tuple[str, ...] = ()
    """Packages without which it is left out."""
    absent: str = ""
    """Why it cannot run here; "": it can."""
    saves: Path | None = None
    """A report that it writes."""


def run(
    data: str, *, threads: int, work: str | None = None, budget: float = 480.0, json_path: str | None = None
) -> dict[str, Any]:
    """Runs the parts, in order, while time is left, and returns the report.

    Args:
        data: an image folder or a beton.
        threads: decoding threads, of ours and of every peer.
        work: folder of the pyramid; None: a temporary folder.
        budget: seconds for everything, conversion included.
        json_path: the report, written after every part; None: no file.

    Raises:
        ValueError: there is no GPU here.
        FileNotFoundError: no such data.
    """
    machine.require_gpu()
    end = time.monotonic() + budget
    report: dict[str, Any] = {
        "benchmark": "gpu",
        "version": 2,
        "machine": {**machine.card(), **machine.cuda()},
        "settings": {"data": Path(data).resolve().name, "threads": threads, "budget": budget},
        "fairness": list(FAIRNESS),
        "notes": [],
        "parts": {},
    }
    with workplace(work) as place:
        pyramid, folder = _pyramid(data, place, threads)
        for part in parts(pyramid, folder, Path(data).resolve(), threads, place):

            def keep(found: dict[str, Any], part: Part = part) -> None:
                report["parts"][part.name] = found
                if json_path is not None:
                    write_json(json_path, report)

            found = _run(part, min(end - time.monotonic(), part.share * budget), keep)
            if found["status"] != "ok":
                report["notes"].append(f"{part.name}: {found['status']}: {found['last']}")
            keep(found)
    return report


def parts(pyramid: Path, folder: Path, data: Path, threads: int, place: Path) -> list[Part]:
    """All parts, the most telling first. A training run needs `data` to be a train/ folder beside val/."""
    no_tests = "" if (ROOT / "tests").is_dir() else "the tests are not installed; run this from a checkout"
    no_val = "" if data.is_dir() and (data.parent / "val").is_dir() else "no val/ folder beside the data"
    options = ["--gpu", "--data", str(data.parent), "--models", "resnet18", "--seeds", "1", "--epochs", "3"]
    saved = place / "curriculum.json"
    module = [sys.executable, "-m"]

    def check(name: str, share: float, *options: str, needs: tuple[str, ...] = ()) -> Part:
        command = [*module, f"{__package__}.gpu_check", name, str(pyramid), "--threads", str(threads), *options]
        return Part(name, command, share, needs)

    curriculum = [*module, str(__package__), "training", *options, "--threads", str(threads), "--json", str(saved)]
    return [
        Part("tests", [*module, "pytest", "-q", "-m", "gpu", "tests"], 0.25, ("pytest",), no_tests),
        check("parity", 0.15),
        check("pixels", 0.1),
        check("loading", 0.15, "--seconds", "2"),
        check("training", 0.6, "--folder", str(folder), "--seconds", "2", needs=("timm", "torchvision")),
        check("dali", 0.2, "--seconds", "1", needs=("nvidia.dali",)),
        check("ffcv", 0.2, "--seconds", "1", needs=("ffcv",)),
        Part("curriculum", curriculum, 0.5, ("timm", "torchvision"), no_val, saved),
    ]


def text(report: dict[str, Any]) -> str:
    """The report as a table: each part's findings, or why there are none."""
    rows = [["part", "status", "seconds", "findings"]]
    for name, part in report["parts"].items():
        rows.append([name, part["status"], f"{part['seconds']:.0f}", part["last"]])
        rows += [["", "", "", f"{key}: {_short(value)}"] for key, value in part["findings"].items()]
    return f"{machine.describe(report['machine'])}\n\n{columns(rows)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pyramid(data: str, place: Path, threads: int) -> tuple[Path, Path]:
    """A pyramid of the data, and the same images as files."""
    from loaders import convert

    records = gather(data, place, 1500, 5000)
    if not records.pyramid.exists():
        convert(records.folder, records.pyramid, workers=threads)
    return records.pyramid, records.folder


def _run(
    part: Part,
    seconds: float,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
    has: Callable[[str], bool] | None = None,
) -> dict[str, Any]:
    """One part's findings. Statuses: "ok", "failed", "out of time" (the findings so far are kept), "left out".

    keep: is given the part with its findings so far, status "running", after every finding.
    """
    missing = [name for name in part.needs if not (has or _has)(name)]
    if missing or part.absent or seconds < LEAST:
        why = part.absent or (f"{', '.join(missing)} not installed" if missing else "no time left")
        return {"status": "left out", "seconds": 0.0, "last": why, "findings": {}}
    print(f"{part.name}: at most {seconds:.0f} s ...", file=sys.stderr, flush=True)
    findings: dict[str, Any] = {}
    began, lines = time.monotonic(), [""]

    def found(status: str, last: str) -> dict[str, Any]:
        spent = time.monotonic() - began
        return {"status": status, "seconds": spent, "last": last.strip()[:200], "findings": findings}

    with tempfile.TemporaryFile("w+", errors="replace") as complaint:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": complaint, "text": True, "errors": "replace"}
        # A session of its own, so that what the part has started ends with it.
        process = subprocess.Popen(part.command, cwd=ROOT, start_new_session=True, **options)
        late = threading.Event()

        def stop() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            for line in process.stdout or ():
                lines += [line.strip()] if line.strip() else []
                with suppress(ValueError):  # other output, or a line that was cut off
                    finding = json.loads(line)
                    if isinstance(finding, dict):
                        findings.update(finding)
                        keep(found("running", f"{len(findings)} findings"))
            process.wait()
        finally:
            timer.cancel()
            _end(process)
            if process.stdout is not None:
                process.stdout.close()
        complaint.seek(0)
        lines += [] if process.returncode == 0 else complaint.read().strip().splitlines()
    if part.saves is not None and part.saves.exists():
        findings["report"] = json.loads(part.saves.read_text())
    status = "out of time" if late.is_set() else "ok" if process.returncode == 0 else "failed"
    return found(status, f"{len(findings)} findings" if findings and status == "ok" else lines[-1])


def _end(process: subprocess.Popen[str]) -> None:
    """Kills a process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _has(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package within one that is missing
        return False
