"""From a folder of images to a pyramid: transcodes in threads, writes in order, resumes where it was killed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..beton import layout
from ..beton.tables import Pages
from ..errors import BadDataset, BadSample
from ..sources.scan import WORKING, scan
from ..strict import strict_pillow
from .assemble import finish
from .jobs import JOB_BYTES, JOB_FILES, cut_jobs, fingerprint, largest_record, take
from .journal import Journal
from .transcode import FULL_QUALITY, Converted, Job
from .workers import results

FORMAT = f"efficienttrain ladder {layout.PRIVATE_VERSION}"
REMARKS = ("changed", "refused", "notes")


class Summary(NamedTuple):
    """What a conversion made.

    Attributes:
        out: the beton.
        images: samples in it.
        classes: number of classes.
        source_bytes: bytes of their source files.
        bytes: bytes of the beton.
        changed: (name, why) of each file whose pixels level 0 does not hold exactly.
        refused: (name, why) of each file left out.
        notes: (name, what) of each file that is odd but lost nothing, e.g. stray bytes before its end.
    """

    out: str
    images: int
    classes: int
    source_bytes: int
    bytes: int
    changed: list[tuple[str, str]]
    refused: list[tuple[str, str]]
    notes: list[tuple[str, str]]


def convert(
    src: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    ratios: Sequence[float] = (1.0, 0.5, 0.25),
    quality: int = 90,
    workers: int | None = None,
    on_error: str = "raise",
    limit: int | None = None,
    split: str | None = None,
    restart: bool = False,
    page_size: int | None = None,
    progress: bool = False,
) -> Summary:
    """Writes the images of a folder as one beton that holds the pyramid; FFCV reads it too.

    The result depends on the sources and settings alone, not on `workers` or on how often it was interrupted.
    Until it is complete it lies in the folder `OUT.partial`; the same call goes on from there.

    Args:
        src: an ImageFolder tree: a sub-folder per class.
        out: the beton to write; one that exists is replaced when the new one is complete.
        ratios: side of each level / side of the image: 1.0 first, falling, up to 8.
        quality: JPEG quality of the reduced levels, 1 to 100. Level 0 is lossless.
        workers: threads; None: one per processor.
        on_error: "raise" at the first file that cannot be decoded, or "skip" it.
        limit: convert so many images only, spread evenly over the folder; None: all.
        split: sub-folder of `src` that is the tree.
        restart: throw away unfinished work of an earlier call.
        page_size: bytes, a power of two from 2 MiB to 2 GiB; None: chosen to hold every source.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: a wrong argument.
        FileNotFoundError: no such folder, or no images in it.
        BadSample: a file cannot be decoded and `on_error` is "raise".
        BadDataset: unfinished work with other settings lies there, or sources change meanwhile.
        OSError: the target cannot be written, or the disk is full.
    """
    ratios = _check(ratios, quality, workers, on_error, limit, page_size)
    target = Path(out)
    if target.is_dir():
        raise IsADirectoryError(f"{target}: must be a file, is a folder; name one inside it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder to write to; make it first")
    sources = take(scan(src, split), limit)
    sizes, prints = fingerprint(sources)
    page_size = page_size or layout.page_size_for(sum(sizes), largest_record(sources.names, sizes))
    how = {
        "format": FORMAT,
        "full_quality": FULL_QUALITY,
        "quality": quality,
        "ratios": list(ratios),
        "versions": _versions(),
    }
    jobs = cut_jobs(sources, sizes, ratios, quality, page_size)
    folder = target.with_name(target.name + WORKING)
    first = Pages(len(sources.names), page_size).first
    manifest = {**how, "job": [JOB_FILES, JOB_BYTES], "page_size": page_size, **prints}
    with _room_for(target), Journal(folder, manifest, len(ratios), first, restart) as journal:
        done = sum(len(job.names) for job in jobs[: journal.jobs])
        pages = Pages(len(sources.names), page_size, journal.sizes[0])
        stream = results(jobs[journal.jobs :], workers or len(os.sched_getaffinity(0)))
        with strict_pillow(), closing(stream), _bar(len(sources.names), done, progress) as bar:
            for job, result in stream:
                _store(journal, pages, job, result, sources.labels, on_error)
                bar.update(len(job.names))
        summary = _summary(journal, target, len(sources.classes))
        if summary.images == 0:
            journal.remove()
            raise BadDataset(f"{sources.root}: none of its {len(sources.names)} images can be decoded")
        return summary._replace(bytes=finish(journal, target, page_size, {**how, "classes": sources.classes}))


def _check(
    ratios: Sequence[float],
    quality: int,
    workers: int | None,
    on_error: str,
    limit: int | None,
    page_size: int | None,
) -> tuple[float, ...]:
    ratios = tuple(float(ratio) for ratio in ratios)
    falling = all(a > b > 0 for a, b in pairwise(ratios))
    if ratios[:1] != (1.0,) or not falling or len(ratios) > layout.MAX_LEVELS:
        most = layout.MAX_LEVELS
        raise ValueError(f"levels must start with 1 and fall, at most {most} of them, got {list(ratios)}")
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be from 1 to 100, got {quality}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f'`on_error` must be "raise" or "skip", got {on_error!r}')
    for name, value in (("workers", workers), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}")
    small, large = layout.MIN_PAGE, layout.MAX_PAGE
    if page_size is not None and (not small <= page_size <= large or page_size & (page_size - 1)):
        raise ValueError(f"`page_size` must be a power of two from {small} to {large} bytes, got {page_size}")
    return ratios


def _versions() -> dict[str, str]:
    import PIL

    return {"numpy": np.__version__, "pillow": PIL.__version__}


@contextmanager
def _room_for(target: Path) -> Iterator[None]:
    """Says what a full disk means for the work done."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        why = f"no room to write {target}: free some and run the same again, it goes on where it stopped"
        raise OSError(error.errno, why) from None


def _bar(total: int, done: int, progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, unit="img", desc="convert", smoothing=0.1, disable=not progress)


def _store(journal: Journal, pages: Pages, job: Job, result: Converted, labels: list[int], on_error: str) -> None:
    """Gives one job's records their places and writes them.

    Raises:
        BadSample: a source was refused and `on_error` is "raise".
    """
    if result.refused and on_error == "raise":
        position, why = result.refused[0]
        if journal.jobs == 0:
            journal.remove()
        raise BadSample(
            job.start + position, job.names[position], f'{why}; on_error="skip" (--on-error skip) leaves it out'
        )
    levels, blob, level0 = result.levels, memoryview(result.blobs[0]), bytearray()
    start, end = pages.position, 0
    for record in levels[:, 0]:
        begin, end = end, int(record["ptr"]) + int(record["size"])
        offset = pages.place(end - begin)
        level0 += bytes(offset - start - len(level0))
        level0 += blob[begin:end]
        record["ptr"] += offset - begin
    for level in range(1, journal.levels):
        levels["ptr"][:, level] += journal.sizes[level]
    names = [os.fsencode(job.names[position]) for position in result.kept]
    rows = np.zeros(len(names), layout.index_dtype(journal.levels))
    rows["label"] = [labels[job.start + position] for position in result.kept]
    rows["name_size"] = [len(name) for name in names]
    rows["name"] = journal.sizes[-2] + np.cumsum(rows["name_size"]) - rows["name_size"]
    rows["level"] = levels
    report: dict[str, Any] = {
        "images": len(names),
        "bytes": sum(job.sizes[position] for position in result.kept),
    }
    for kind in REMARKS:
        report[kind] = [(job.names[position], why) for position, why in getattr(result, kind)]
    line = json.dumps(report, sort_keys=True).encode("ascii") + b"\n"
    journal.append([level0, *result.blobs[1:], rows.tobytes(), b"".join(names), line])


def _summary(journal: Journal, target: Path, classes: int) -> Summary:
    """Adds up the reports of all jobs, those of earlier runs too."""
    summary = Summary(os.fspath(target), 0, classes, 0, 0, [], [], [])
    images, source_bytes = 0, 0
    report = journal.files[-1]
    report.seek(0)
    for line in report:
        job = json.loads(line)
        images += job["images"]
        source_bytes += job["bytes"]
        for kind in REMARKS:
            getattr(summary, kind).extend((name, why) for name, why in job[kind])
    return summary._replace(images=images, source_bytes=source_bytes)
