"""Contestants that only keep a diary: who worked when. Loaded by `benchmarks.harness.child`, as real ones are."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.convert import Conversion
from benchmarks.harness.contestant import Job


class Fake:
    """Delivers `rate` images a second, and goes on writing to its diary when nobody asks it to."""

    def __init__(self, job: Job) -> None:
        self.output, self.delivered = "uint8 1x16x16x3", 0
        self._rate, self._diary = float(job.options["rate"]), Path(job.work, f"{job.name}.diary")
        threading.Thread(target=self._restless, daemon=True).start()

    def round(self, seconds: float) -> tuple[int, float]:
        start = time.monotonic()
        time.sleep(seconds)
        self._note(f"round {start} {time.monotonic()}")
        images = int(self._rate * 100)
        self.delivered += images
        return images, 100.0

    def facts(self) -> dict[str, float]:
        return {"stored_bytes": 100.0}

    def _restless(self) -> None:
        while True:
            self._note(f"alive {time.monotonic()}")
            time.sleep(0.002)

    def _note(self, line: str) -> None:
        with self._diary.open("a") as diary:
            diary.write(f"{line}\n")


def build(job: Job) -> Fake:
    print("libraries print what they like")
    return Fake(job)


def told(job: Job) -> Fake:
    """Its output names its interpreter and the checkout that it was given."""
    fake = Fake(replace(job, options={"rate": 1.0}))
    fake.output = f"{sys.executable} {job.options['against']}"
    return fake


def prepare(job: Job) -> None:
    Path(job.work, "prepared").write_text(job.name)


def missing(_job: Job) -> Fake:
    raise ImportError("No module named 'fast'")


def failing(_job: Job) -> Fake:
    raise ValueError("this\ncannot work")


def silent(_job: Job) -> Fake:
    time.sleep(60)
    raise AssertionError("nobody waits that long")


def converting(job: Job) -> Conversion:
    return Conversion(lambda path: path.write_bytes(bytes(1_000_000)), job)
