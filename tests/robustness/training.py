"""Trainings killed at random steps; the same command again must go on as if nothing had been. Runs in a child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tests.robustness import files
from tests.robustness.mutate import draw
from tests.robustness.tally import LOST, SURVIVED, Tally
from tests.robustness.watchdog import ROOT

CURRICULUM = """
stages:
  - {resolution: 112, magnitude: null, compute: 0.3}
  - {resolution: 168, magnitude: 2, compute: 0.3, replay: 2, replay_buffer: 4}
  - {resolution: 224, magnitude: 5, compute: 0.4}
"""
OPTIONS = (
    *("--size", "64", "--epochs", "8", "--batch", "8", "--device", "cpu", "--workers", "1", "--no-progress"),
    *("--log-every", "1", "--hash-batches", "--save-every", "0.04", "--evaluate-every", "0.25", "--ema", "0.9"),
)
ENDS = 120  # seconds within which every training must have ended
LOOK = 0.01  # seconds between two looks at how far one is


def kill(seed: int, tries: int) -> Iterator[dict[str, Any]]:
    """A training that SIGKILL ends `tries` times, at random steps, resumed each time, at last to its end.

    Survived: whatever it has logged has the very batch hashes and losses of a training that nobody disturbed, each
    step once and in order.
    """
    tally = Tally("training killed at random steps")
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        files.folder(home)
        (home / "curriculum.yaml").write_text(CURRICULUM)
        wanted = _run(home, "undisturbed", None)
        moments = sorted(draw(seed, 0).integers(1, len(wanted) * 9 // 10, tries).tolist())
        tally.facts = {"steps": len(wanted), "killed_after": []}
        for until in (*moments, None):
            yield {"alive": until}
            got = _run(home, "killed", until)
            if until is None:
                same = got == wanted
            else:
                same = got == wanted[: len(got)] and len(got) >= until
                tally.facts["killed_after"].append(len(got))
            tally.add(SURVIVED if same else LOST, f"at step {until} of seed {seed}: {_unlike(got, wanted)}")
    yield tally.as_dict()


def _run(home: Path, name: str, until: int | None) -> list[tuple[int, str, float]]:
    """Trains, killed once `until` steps are logged; the steps that are logged: number, hash of the batch, loss."""
    out = home / name
    command = [sys.executable, "-m", "efficienttrain", "train", "--data", str(home / "photos"), *OPTIONS]
    command += ["--val", str(home / "photos"), "--curriculum", str(home / "curriculum.yaml"), "--out", str(out)]
    command += ["--model", f"{Path(__file__).resolve()}:network"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=told)
        try:
            if until is None:
                process.wait(ENDS)
            else:
                _wait_for(process, out, until)
        finally:
            process.kill()
            process.wait()
        if until is None and process.returncode:
            told.seek(0)
            raise RuntimeError(f"a training failed: {told.read()[-500:].decode(errors='replace')}")
    return _steps(out)


def _wait_for(process: subprocess.Popen[bytes], out: Path, until: int) -> None:
    """Returns when so many steps are logged, or the training has ended."""
    for _ in range(int(ENDS / LOOK)):
        if len(_steps(out)) >= until:
            return
        try:
            process.wait(LOOK)
            return
        except subprocess.TimeoutExpired:
            continue
    raise TimeoutError(f"step {until} was not reached in {ENDS} s")


def _steps(out: Path) -> list[tuple[int, str, float]]:
    try:
        lines = (out / "log.jsonl").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [(line["step"], line["hash"], line["loss"]) for line in map(json.loads, lines) if line["kind"] == "train"]


def _unlike(got: list[Any], wanted: list[Any]) -> str:
    first = next((k for k, pair in enumerate(zip(got, wanted, strict=False)) if pair[0] != pair[1]), None)
    if first is None:
        return f"{len(got)} steps instead of {len(wanted)}"
    return f"{got[first]} instead of {wanted[first]}"


class Network(nn.Module):
    """A convolution for any size of input, with dropout, whose noise a resumed training must draw again."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 8, 8), nn.GroupNorm(1, 12), nn.GELU())
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stem(images).mean((2, 3)))


def network(num_classes: int) -> nn.Module:
    """The network that the suite trains, as `--model FILE:FUNCTION` loads it."""
    return Network(num_classes)
