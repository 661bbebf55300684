"""`efficienttrain benchmark scale`: what grows with the number of samples, on simulated data sets of any size.

* writer: the cost of the converter's one writing thread, apart from reading and encoding.
* resume: seconds from the start of `convert` to the first image, after it was killed at 90 %.
* set: the last step of a conversion, and opening, first batch and resume of the pyramid.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from tqdm import tqdm

from loaders import native
from loaders.beton import layout
from loaders.beton.fields import LABEL_ONLY
from loaders.beton.stored_order import described, permutation
from loaders.beton.tables import Pages
from loaders.conversion import convert
from loaders.conversion.assemble import finish
from loaders.conversion.jobs import StoredSource, cut_jobs
from loaders.conversion.journal import LISTING, Journal
from loaders.conversion.transcode import Converted, Job
from loaders.conversion.writer import PLACE, Writer
from loaders.sources import kept_listing
from loaders.sources.source import FileRange, Sample

from .harness import machine
from .harness.measure import ROOT, Failed, summary
from .harness.report import workplace

PARTS = ("writer", "resume", "set")

RATIOS = (1.0, 0.5, 0.25)
SHARES = (1.25, 0.2, 0.07)
"""Bytes of each level's record / bytes of the source: ImageNet's photographs."""
PHOTOGRAPH, THUMBNAIL = 110_000, 2_000
STARTS: dict[str, tuple[bool | str, float]] = {
    "random": (True, 0),
    "random, resumed": (True, 0.5),
    "quasi": ("quasi", 0),
    "quasi, resumed": ("quasi", 0.5),
}
"""`Loader(shuffle=)`, and where in the epoch it resumes."""
CLASS = 1281
"""Images of a simulated class, as in ImageNet."""
BLOCK = 1 << 20
FAIRNESS = (
    "writer: prepared records go through the converter's own writer and journal to the folder of --work; images of two "
    "sizes. The rates by processor time count the writing thread, with and without the kernel's work for it.",
    "resume: a folder of small files; its conversion is ended at 90 %. The clock runs from the call of `convert` to "
    "the first image. `anew`: the kept listing is removed before. cold: the machine's page cache is emptied before.",
    "set: a pyramid whose samples all name one record. Every start is a process of its own; the clock of `open` begins "
    "after the imports. memory: what the process needs more than after the imports.",
)


class Simulated:
    """A source of samples that are never read."""

    path, classes, fields = "simulated", [f"n{k:08d}" for k in range(1000)], dict(LABEL_ONLY)

    def __init__(self, images: int, size: int) -> None:
        self._images, self._size = images, size

    def __len__(self) -> int:
        return self._images

    def __getitem__(self, index: int) -> Sample:
        name = f"n{index % 1000:08d}/n{index % 1000:08d}_{index}.JPEG"
        return Sample(name, FileRange(name, self._size), {"label": index % 1000})

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        return map(self.__getitem__, range(start, len(self)))

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{self._images} of {self._size}"


def prepared(count: int, size: int) -> Converted:
    """The result of a job of `count` images of `size` bytes each."""
    sizes = [max(64, int(size * share)) for share in SHARES]
    levels = np.zeros((count, len(RATIOS)), layout.LEVEL)
    for level, each in enumerate(sizes):
        levels["ptr"][:, level] = np.arange(count) * each + 40
        levels["size"][:, level] = each - 40
        levels["width"][:, level], levels["height"][:, level] = 500 >> level, 375 >> level
    blobs = [np.random.default_rng(level).bytes(count * each) for level, each in enumerate(sizes)]
    return Converted(kept=list(range(count)), levels=levels, blobs=blobs, labels=[0] * count, sizes=[size] * count)


def writer(work: Path, images: int, size: int) -> dict[str, float]:
    """Writes prepared records of images of `size` bytes: images a second by the clock and by processor time."""
    import resource

    source = StoredSource(Simulated(images, size), "shuffled")
    results: dict[int, Converted] = {}
    page = layout.page_size_for(images * size, size * 2)
    wall = user = system = 0.0
    with (
        tempfile.TemporaryDirectory(dir=work) as name,
        Journal(Path(name, "x.partial"), {}, levels=len(RATIOS), start=Pages(images, page).first) as journal,
    ):
        writing = Writer(journal, source, page, LABEL_ONLY, "raise")
        for job in cut_jobs(source, 0, Job(0, [], RATIOS)):
            count = len(job.samples)
            if count not in results:
                results[count] = prepared(count, size)
            result = replace(results[count], levels=results[count].levels.copy())
            began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_THREAD)
            writing.store(job, result)
            spent = resource.getrusage(resource.RUSAGE_THREAD)
            wall += time.perf_counter() - began
            user, system = user + spent.ru_utime - used.ru_utime, system + spent.ru_stime - used.ru_stime
    user = max(user, 1e-6)  # the kernel may have counted none in a short run
    return {"images_s": images / wall, "images_s_cpu": images / (user + system), "images_s_own_cpu": images / user}


class _Stopped(BaseException):
    pass


def _tree(work: Path, images: int) -> Path:
    """A folder of so many small JPEG files, which a later run uses again."""
    root = work / f"photos-{images}"
    if not root.exists():
        noise = np.random.default_rng(0)
        jpegs = [native.encode(noise.integers(0, 255, (32, 40, 3), np.uint8), 60 + k) for k in range(32)]
        part = root.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        for number in tqdm(range(images), desc="writing files", leave=False, file=sys.stderr):
            folder = part / f"n{number // CLASS:08d}"
            if number % CLASS == 0:
                folder.mkdir(parents=True)
            (folder / f"{folder.name}_{number}.JPEG").write_bytes(jpegs[number % len(jpegs)])
        part.rename(root)
        time.sleep(kept_listing.SETTLED / 1e9 + 0.5)  # a listing of folders that have just been modified is not kept
    return root


def _at_90_percent(photos: Path, out: Path, images: int) -> None:
    """A conversion that ended there; records are not those of the files."""
    results: dict[int, Converted] = {}

    def prepare(job: Job) -> Converted:
        if job.start >= 0.9 * images:
            raise _Stopped
        if (count := len(job.samples)) not in results:
            results[count] = prepared(count, THUMBNAIL)
        return replace(results[count], levels=results[count].levels.copy())

    with suppress(_Stopped), patch("loaders.conversion.jobs.convert_job", prepare):
        convert(photos, out, workers=1, restart=True)


_RESUME = """
import os, sys, time
from loaders.conversion import convert, jobs
def first(job):
    print(time.perf_counter() - began, flush=True)
    os._exit(0)
jobs.convert_job = first
began = time.perf_counter()
convert(sys.argv[1], sys.argv[2], workers=1)
"""

_OPEN = """
import itertools, json, resource, sys, time
import torch
from loaders import Loader, open_dataset
def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
path, shuffle, position, rest = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), memory()
began = time.perf_counter()
data = open_dataset(path)
data.image_bytes = len(data) * 110_000  # ImageNet's, by which the window of quasi-random order is chosen
loader = Loader(data, batch_size=256, resolution=32, shuffle=shuffle, num_workers=1)
opened, held = time.perf_counter() - began, memory() - rest
began = time.perf_counter()
if position:
    loader.load_state_dict({**loader.state_dict(), "position": position})
batches = iter(loader)
next(batches)
found = {"open_s": opened, "first_batch_s": time.perf_counter() - began, "memory": memory() - rest}
began = time.perf_counter()
later = sum(1 for _ in itertools.islice(batches, 20))
print(json.dumps({**found, "later_batch_s": (time.perf_counter() - began) / max(1, later)}))
"""


def _child(script: str, *arguments: str) -> Any:
    """The JSON that a Python process prints."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"a process of the benchmark failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def _drop_caches() -> None:
    """Empties the page cache.

    Raises:
        ValueError: only root may.
    """
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    except OSError as error:
        raise ValueError(f"`--cold` needs the right to write /proc/sys/vm/drop_caches ({error.strerror})") from None


def resume(work: Path, images: int, rounds: int, cold: bool) -> list[dict[str, Any]]:
    """Seconds until a conversion continues, with the kept listing and without it."""
    photos = _tree(work, images)
    found: dict[str, list[float]] = {"kept": [], "anew": []}
    with tempfile.TemporaryDirectory(dir=work) as name:
        out = Path(name, "x.beton")
        _at_90_percent(photos, out, images)
        for round_ in tqdm(range(rounds), desc="resuming", leave=False, file=sys.stderr):
            for kind in sorted(found, reverse=round_ % 2 == 0):
                if kind == "anew":
                    Path(f"{out}.partial", LISTING).unlink(missing_ok=True)
                if cold:
                    _drop_caches()
                found[kind].append(_child(_RESUME, str(photos), str(out)))
    return [{"listing": kind, "cold": cold, "first_image_s": summary(seconds)} for kind, seconds in found.items()]


def _simulated_set(work: Path, images: int) -> tuple[Path, float]:
    """A pyramid of so many samples that all name one record, and the seconds of the conversion's last step."""
    out = work / f"set-{images}.beton"
    pixels = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    records = native.transcode(native.encode(pixels, 90), RATIOS, 90)
    page, number = layout.MIN_PAGE, permutation(images)
    working, first = Path(f"{out}.partial"), Pages(images, page).first
    with Journal(working, {}, levels=len(RATIOS), start=first, restart=True) as journal:
        start = journal.size("beton")
        for first in range(0, images, BLOCK):
            places = number(np.arange(first, min(first + BLOCK, images)))
            rows = np.zeros(len(places), layout.index_dtype(len(RATIOS)))
            rows["label"], rows["name_size"] = places % 1000, 16
            rows["name"] = journal.size("names") + 16 * np.arange(len(rows))
            for level, record in enumerate(records):
                stored = rows["level"][:, level]
                stored["ptr"] = len(record.table) + (0 if level else start)
                stored["size"], stored["head"], stored["rows"] = len(record.jpeg), record.head, record.rows
                stored["width"], stored["height"] = record.width, record.height
            blobs = [b"" if first else record.table + record.jpeg for record in records]
            names = np.char.zfill(places.astype("S16"), 16).tobytes()
            journal.append([[part] for part in (*blobs, rows.tobytes(), names, places.astype(PLACE).tobytes(), b"")])
        meta = {"classes": Simulated.classes, "ratios": list(RATIOS), "storage": described(images, [])}
        began = time.perf_counter()
        finish(journal, page, meta)
        seconds = time.perf_counter() - began
        os.replace(journal.folder / "beton", out)
        journal.remove()
        return out, seconds


def opening(work: Path, images: int, rounds: int, cold: bool) -> list[dict[str, Any]]:
    """The last step of a conversion of so many samples; opening, first batch and resume of its result."""
    path, seconds = _simulated_set(work, images)
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in STARTS}
    try:
        for _ in tqdm(range(rounds), desc="opening", leave=False, file=sys.stderr):
            for kind, (shuffle, place) in STARTS.items():
                if cold:
                    _drop_caches()
                found[kind].append(_child(_OPEN, str(path), json.dumps(shuffle), str(int(place * images))))
    finally:
        path.unlink()
    rows = [
        {"order": kind, "cold": cold, **{what: summary([each[what] for each in all_]) for what in all_[0]}}
        for kind, all_ in found.items()
    ]
    return [{"last_step_s": seconds}, *rows]


def run(
    *,
    work: str | None = None,
    images: int = 200_000,
    rounds: int = 3,
    parts: Sequence[str] = PARTS,
    cold: bool = False,
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes.

    Args:
        images: of the simulated folder and set.
        parts: which of PARTS to measure.
        cold: empty the page cache before each start.

    Raises:
        ValueError: `cold` without the right to empty the page cache.
    """
    results: dict[str, Any] = {}
    with ExitStack() as stack:
        place = stack.enter_context(workplace(work))
        if "writer" in parts:
            results["writer"] = []
            for size, count in ((THUMBNAIL, min(images, 50_000)), (PHOTOGRAPH, min(images, 6_000))):
                each = [writer(place, count, size) for _ in range(rounds)]
                rates = {what: summary([one[what] for one in each]) for what in each[0]}
                results["writer"].append({"image_bytes": size, "images": count, **rates})
        if "resume" in parts:
            results["resume"] = resume(place, images, rounds, cold)
        if "set" in parts:
            results["set"] = opening(place, images, rounds, cold)
    return {
        "benchmark": "scale",
        "version": 1,
        "machine": machine.card(),
        "settings": {"images": images, "rounds": rounds, "cold": cold},
        "fairness": list(FAIRNESS),
        "results": results,
    }


def text(report: dict[str, Any]) -> str:
    """The report as a table."""
    results, images = report["results"], report["settings"]["images"]
    lines = [f"scale on {machine.describe(report['machine'])}", *(f"  - {rule}" for rule in report["fairness"]), ""]
    for row in results.get("writer", ()):
        rates = [row[kind]["median"] for kind in ("images_s_own_cpu", "images_s_cpu", "images_s")]
        own, whole, clock = (f"{rate:,.0f}" for rate in rates)
        lines.append(
            f"writer, images of {row['image_bytes']:,} bytes: {own} images/s by its own processor time, {whole} with "
            f"the kernel's, {clock} by the clock"
        )
    for row in results.get("resume", ()):
        state = "cold" if row["cold"] else "warm"
        lines.append(
            f"resume at 90 % of {images:,} files, {state}, listing {row['listing']}: first image after "
            f"{row['first_image_s']['median']:.1f} s"
        )
    for row in results.get("set", ()):
        if "last_step_s" in row:
            lines.append(f"last step of {images:,} samples: {row['last_step_s']:.1f} s")
            continue
        lines.append(
            f"set of {images:,}, {'cold' if row['cold'] else 'warm'}, {row['order']}: opened in "
            f"{row['open_s']['median']:.2f} s, first batch after {row['first_batch_s']['median']:.2f} s more, later "
            f"ones {row['later_batch_s']['median'] * 1000:.1f} ms, memory {row['memory']['median'] / 1e6:.0f} MB"
        )
    return "\n".join(lines)
