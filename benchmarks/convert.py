"""`efficienttrain benchmark convert`: images per second of our converter and of FFCV's DatasetWriter, same workers.

With `--source parquet` or `webdataset`, our converter alone: from that form of the data, and from the image folder.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
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
from .harness.report import convert_text, workplace

FAIRNESS = (
    "Same image folder, page cache warm; each writes one file, which is deleted outside the window.",
    "Same number of workers (threads, processes), confined to the same number of CPUs; rounds interleaved.",
    "Ours writes three levels and keeps every coefficient of the source; FFCV re-encodes one level at quality 95.",
)


SOURCE_FAIRNESS = (
    "The same files, byte for byte, in the folder and in Parquet or tar files; page cache warm.",
    "Same number of threads, confined to the same number of CPUs; rounds interleaved.",
)
CONTESTANTS = {"ours": f"{__name__}:ours", "ffcv": f"{__name__}:ffcv"}
SHARD = 1000
"""Images in a tar, and in a row group of Parquet."""


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


def ours_parquet(job: Job) -> Conversion:
    from loaders.conversion import convert

    path = write_parquet(Path(job.folder), Path(job.work, "source.parquet"))
    return Conversion(lambda out: convert(path, out, workers=job.threads), job)


def ours_webdataset(job: Job) -> Conversion:
    from loaders.conversion import convert

    folder = write_webdataset(Path(job.folder), Path(job.work, "source-shards"))
    return Conversion(lambda out: convert(folder, out, workers=job.threads), job)


def write_parquet(folder: Path, path: Path) -> Path:
    """Writes an image folder as Hugging Face's `push_to_hub` does, unless it exists."""
    import pyarrow as pa
    from pyarrow import parquet

    if path.exists():
        return path
    files = find(folder)
    names = sorted({file.parent.name for file in files})
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([("image", image), ("label", pa.int64())], metadata=metadata)
    part = path.with_suffix(".part")
    with parquet.ParquetWriter(part, schema) as writer:
        for start in range(0, len(files), SHARD):
            some = files[start : start + SHARD]
            rows = [
                {"image": {"bytes": file.read_bytes(), "path": file.name}, "label": names.index(file.parent.name)}
                for file in some
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    os.replace(part, path)
    return path


def write_webdataset(folder: Path, out: Path) -> Path:
    """Writes an image folder as WebDataset shards, unless they exist."""
    if out.exists():
        return out
    files = find(folder)
    names = sorted({file.parent.name for file in files})
    part = out.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for shard, start in enumerate(range(0, len(files), SHARD)):
        with tarfile.open(part / f"{shard:05d}.tar", "w") as tar:
            for number, file in enumerate(files[start : start + SHARD], start):
                tar.add(file, f"{number:08d}{file.suffix}")
                label = str(names.index(file.parent.name)).encode()
                member = tarfile.TarInfo(f"{number:08d}.cls")
                member.size = len(label)
                tar.addfile(member, io.BytesIO(label))
    os.replace(part, out)
    return out


def contestants(source: str) -> dict[str, str]:
    """Targets by name, for `--source`."""
    if source == "folder":
        return CONTESTANTS
    return {"folder": f"{__name__}:ours", source: f"{__name__}:ours_{source}"}


def run(
    data: str,
    *,
    threads: int,
    rounds: int = 3,
    repeat_to: int = 1500,
    limit: int | None = None,
    work: str | None = None,
    source: str = "folder",
) -> dict[str, Any]:
    """Measures and returns the report that `--json` writes."""
    card, notes = machine.card(), []
    with workplace(work) as place, ExitStack() as stack:
        records = gather(data, place, repeat_to, limit)
        warm(records)
        children = []
        for name, target in contestants(source).items():
            job = Job(name, 0, threads, 0, str(records.folder), "", str(records.work))
            try:
                children.append(Child(target, job, log=records.work / f"{name}-convert.log"))
            except Missing as error:
                notes.append(f"Skipped: {name} is not available here ({error}).")
                continue
            stack.callback(children[-1].close)
        with tqdm(total=len(children) * (rounds + 1), desc="converting", leave=False, file=sys.stderr) as bar:
            answers = interleave(children, rounds, 0.0, lambda _: bar.update())
        bytes_ = sum(file.stat().st_size for file in find(records.folder))
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
                "bytes_per_source_byte": size / bytes_,
            }
        )
    settings = {
        "data": records.name,
        "records": records.records,
        "mean_file_bytes": records.mean_bytes,
        "workers": threads,
        "rounds": rounds,
        "source": source,
    }
    rates_of = {result["contestant"]: result["rates"] for result in results}
    first, second = ("ours", "ffcv") if source == "folder" else (source, "folder")
    both = first in rates_of and second in rates_of
    over = {f"{first}_over_{second}": ratio(rates_of[first], rates_of[second])} if both else {}
    return {
        "benchmark": "convert",
        "version": 1,
        "machine": card,
        "settings": settings,
        "fairness": list(FAIRNESS if source == "folder" else SOURCE_FAIRNESS),
        "notes": notes,
        "results": results,
        "ratios": over,
    }


text = convert_text
