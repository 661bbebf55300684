"""From a source to a pyramid: transcodes in threads, writes in order, resumes after an interruption."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..beton import layout
from ..beton.fields import LABEL_ONLY, META, ORIGINAL, FieldSpec, FieldType, parse_fields
from ..beton.stored_order import described
from ..beton.tables import Pages
from ..errors import BadDataset
from ..pillow import DEPTHS
from ..processors import available_processors
from ..progress import progress_bar
from ..sources.composed import Limited
from ..sources.image_folder import ImageFolder
from ..sources.labels import Labels, counted_from_1
from ..sources.open import open_source
from ..sources.source import Source, extras
from ..storage.files import connections
from .assemble import finish, work_left
from .jobs import JOB_BYTES, JOB_FILES, StoredSource, cut_jobs, read_ahead, run_jobs
from .journal import LISTING, Journal
from .levels import OVERHEAD, USUAL, ratios_for
from .target import Target
from .transcode import FULL_QUALITY, TURNED, Job
from .writer import REMARKS, Writer

MOST_REMARKS = 100
"""Samples of each kind of remark that a pyramid's meta data name."""
FORMAT = f"efficienttrain ladder {layout.PRIVATE_VERSION}"


class Summary(NamedTuple):
    """The result of a conversion.

    Attributes:
        out: the beton.
        images: samples in it.
        classes: number of classes.
        source_bytes: bytes of their source images.
        bytes: bytes of the beton.
        changed: (name, why) of each sample whose pixels level 0 does not hold exactly.
        refused: (name, why) of each sample left out.
        notes: (name, remark) of each odd sample that is stored without loss, e.g. stray bytes before its end.
        originals: number of samples whose original file is kept, see `convert(keep_codec=)`.
        hints: on the source as a whole: it has no labels, only one class, or files that were left out.
    """

    out: str
    images: int
    classes: int
    source_bytes: int
    bytes: int
    changed: list[tuple[str, str]]
    refused: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    originals: int = 0
    hints: tuple[str, ...] = ()


class NothingConverted(BadDataset):
    """None of the source's images can be converted.

    Attributes:
        summary: names each of them, and why.
    """

    def __init__(self, summary: Summary, path: str) -> None:
        super().__init__(f"{path}: none of its {len(summary.refused)} images can be converted")
        self.summary = summary


@connections()
def convert(
    src: Any,
    out: str | os.PathLike[str],
    *,
    fields: Mapping[str, FieldSpec] | None = None,
    classes: Sequence[str] | None = None,
    allow_empty: bool = False,
    ratios: Sequence[float] | None = None,
    quality: int = 90,
    overhead: float = OVERHEAD,
    workers: int | None = None,
    on_error: str = "raise",
    limit: int | None = None,
    split: str | None = None,
    restart: bool = False,
    page_size: int | None = None,
    depth: str = "refuse",
    keep_codec: bool = False,
    order: str | None = None,
    work_dir: str | os.PathLike[str] | None = None,
    as_cache: bool = False,
    progress: bool = False,
    **options: Any,
) -> Summary:
    """Writes the images of a source, with their targets, as one beton that holds the pyramid; FFCV reads it too.

    The result depends on the source and settings alone, not on `workers` or on the number of interruptions. Until it is
    complete it lies in the folder `OUT.partial`; the same call resumes it.

    Args:
        src: an image folder, WebDataset shards, Parquet files, a table of paths, a beton, ... (docs/sources.md lists
            them), each by path or URL; an object with the `Source` protocol, or any indexable or iterable Python object
            of samples.
        out: the beton to write, a path or a URL (`s3://`, `gs://`, `az://`, ...); an existing one is replaced when the
            new one is complete.
        fields: targets to store, by name: "int", "float", "bytes", "json", "mask", "boxes", "points", or (dtype, shape)
            for an array, see `FieldType`. None: all that the source knows.
        classes: class names in the order of their labels; None: the source's. Labels are mapped by name. With a `label`
            that is no int field: names of the entries of its vectors, or of the numbers in its lists.
        allow_empty: accept class folders without images.
        ratios: side of each level / side of the image: 1.0 first, falling, up to 8. None: 1, 1/2, 1/4, and of large
            photographs 1/8, 1/16, ..., see `levels.ratios_for`.
        quality: JPEG quality of the reduced levels, 1 to 100; lower if the source's own is lower, and higher below 1/4,
            see `levels.qualities`. Level 0 is lossless.
        overhead: bytes of an image's levels with a shorter side below 128 pixels at most, as a share of its level 0,
            0 or more. Those that do not fit are left out, so that small JPEGs of low quality do not double in size.
        workers: threads; None: one per processor.
        on_error: "raise" at the first sample that cannot be converted, or "skip" it.
        limit: convert so many samples only, spread evenly over the source; None: all.
        split: sub-folder or split of `src` to convert.
        restart: throw away unfinished work of an earlier call.
        page_size: bytes of a page at least, a power of two from 2 MiB to 2 GiB; None: chosen. Pages grow to hold the
            largest image.
        depth: treatment of grey images of 16 or 32 bits or floating-point values. "refuse"; "scale": the full
            range (0 to 65,535; 0 to 1) becomes 0 to 255; "minmax": each image's own least and greatest values become 0
            and 255.
        keep_codec: also keep the files of images that level 0 does not hold without loss (PNG, WebP, CMYK JPEG, ...),
            as the field `original`. `Loader` decodes them in place of level 0. The reduced levels, and the
            level 0 that FFCV reads, are JPEGs all the same.
        order: in which samples are stored. "shuffled": in an order that depends on their number alone, so that any
            run of neighbours in the file is a fair sample of the set (see docs/storage.md). "source": as the source has
            them. None: shuffled, if the source's samples can be read in any order. Sample indices are the same.
        work_dir: if `out` is a URL, the folder of OUT.partial, which grows as large as the beton; None: the
            current folder.
        as_cache: make a file for `Loader(cache=)`: it records its source's fingerprint and which samples were left out;
            an existing `out` is not replaced.
        progress: show a progress bar on stderr.
        options: of the source, see `sources.open.open_source`.

    Raises:
        ValueError: a wrong argument.
        FileNotFoundError: no such source, or no images in it.
        FileExistsError: `as_cache`, and `out` is there.
        BadSample: a sample cannot be converted and `on_error` is "raise".
        BadDataset: unfinished work with other settings lies there, or the source changes meanwhile.
        OSError: the target cannot be written, or the disk is full.
        LoaderError: a store refuses, or keeps failing.
    """
    _check(ratios, quality, overhead, workers, on_error, limit, page_size, depth)
    target = Target(out, work_dir)
    target.check_source(src)
    wanted = None if fields is None else parse_fields(fields)
    listing = target.working / LISTING
    if restart:
        listing.unlink(missing_ok=True)
    source = origin = open_source(
        src,
        fields=wanted,
        classes=None if classes is None else tuple(classes),
        allow_empty=allow_empty,
        split=split,
        listing=os.fspath(listing),
        **options,
    )
    if limit is not None and limit < len(source):
        source = Limited(source, limit)
    types = source.fields if wanted is None else wanted
    if keep_codec:
        types = _with_original(types)
    labels = Labels(source.classes, classes) if types.get("label") == LABEL_ONLY["label"] else None
    further = None if types == LABEL_ONLY else types
    count, start_page = len(source), page_size or _page_size(source)
    if not count:
        raise BadDataset(f"{source.path}: holds no samples")
    stored = StoredSource(source, order)
    ratios = ratios_for(source) if ratios is None else tuple(map(float, ratios))
    how = _settings(quality, overhead, ratios, depth)
    manifest = {
        **how,
        "job": [JOB_FILES, JOB_BYTES],
        "images": count,
        "sources": source.fingerprint(),
        "order": stored.order,
        **target.settings(),
        "classes": list(classes or ()) if labels is None else labels.classes,
        "fields": {name: str(kind) for name, kind in types.items()},
    }
    first = Pages(count, start_page, types=types).first
    files = () if further is None else ("rows", "values", "checks")
    with _room_for(target), Journal(target.working, manifest, len(ratios), first, restart, files) as journal:
        if as_cache and target.exists():  # asked under the journal's lock: another converter may just have finished
            journal.remove()
            raise FileExistsError(f"{target.name}: is there already; remove it to make it again")
        if isinstance(origin, ImageFolder):
            origin.keep()
        writer = Writer(journal, stored, start_page, types, on_error)
        template = Job(0, [], ratios, quality, labels, further, depth, overhead, keep_codec)
        stream = run_jobs(read_ahead(cut_jobs(stored, writer.samples, template)), workers or available_processors())
        with closing(stream), _bar(count, writer.samples, progress) as bar:
            for job, result in stream:
                writer.store(job, result)
                bar.update(len(job.samples))
        names, hints = list(classes or ()) if labels is None else labels.classes, list(hints_on(origin, types))
        if labels is not None and not names:
            least, largest = writer.label_range()
            names = [str(k) for k in range(largest + 1)]
            if least == 1 and source is origin and not extras(source).partial:
                hints.append(counted_from_1(largest, "subtract 1 in a list of (image, label), see docs/sources.md"))
        summary = _summary(writer, target.name, len(names))
        if turned := sum(TURNED in why for _, why in (*summary.notes, *summary.changed)):
            hints.append(
                f"{turned:,} images have an {TURNED} other than upright, which is ignored, as torchvision ignores it; "
                "`mogrify -auto-orient` would turn the files"
            )
        if summary.images == 0:
            journal.remove()
            raise NothingConverted(summary, source.path)
        left_out = sorted(number for report in writer.reports() for number, _, _ in report["refused"])
        meta = {**how, **_remarks(summary), **_contents(source, stored.order, types, left_out)}
        if as_cache:
            meta["cache"] = {"source": source.fingerprint(), "left_out": left_out}
        meta["classes"] = names
        with _finish_bar(work_left(journal), progress) as bar:
            size = finish(journal, target, writer.page_size, meta, further, bar.update)
        return summary._replace(bytes=size, hints=tuple(hints))


def hints_on(source: Source, types: Mapping[str, FieldType]) -> Iterator[str]:
    """Remarks on a source as a whole."""
    yield from extras(source).hints
    if "label" not in types:
        stored = ", ".join(name for name in types if name != ORIGINAL) or "none"
        yield (
            f"no label was found; stored fields: {stored}. Name the label by `label_column` (--label-column), or train "
            "on a field (--target)"
        )


def _settings(quality: int, overhead: float, ratios: Sequence[float], depth: str) -> dict[str, Any]:
    """All that decides how an image is stored. It is part of the journal, and of the file's meta data."""
    settings = {
        "format": FORMAT,
        "full_quality": FULL_QUALITY,
        "quality": quality,
        "overhead": overhead,
        "ratios": list(ratios),
        "versions": _versions(),
    }
    return settings if depth == "refuse" else {**settings, "depth": depth}


def _contents(source: Source, order: str, types: Mapping[str, FieldType], left_out: list[int]) -> dict[str, Any]:
    """Entries of the file's meta data: fields of special kinds, the stored order, the part of a larger source.

    left_out: numbers of the samples that the file does not hold, sorted.
    """
    meta: dict[str, Any] = {}
    for kind, key in META.items():
        if found := [name for name, of in types.items() if of.kind == kind]:
            meta[key] = found
    if order == "shuffled":
        meta["storage"] = described(len(source), left_out)
    if (span := extras(source).span) is not None:
        meta["span"] = span.without(left_out).described()
    return meta


def _with_original(types: Mapping[str, FieldType]) -> dict[str, FieldType]:
    """The fields with one for original files.

    Raises:
        ValueError: there is a field of that name.
    """
    if ORIGINAL in types:
        raise ValueError(
            f"`keep_codec` stores a field `{ORIGINAL}`, and the source has one: name the others in `fields`"
        )
    return {**types, ORIGINAL: FieldType(ORIGINAL)}


def _page_size(source: Source) -> int:
    """Bytes of the first pages. Sources that know their sizes name them; pages grow if that is too little."""
    return layout.page_size_for(extras(source).nbytes, extras(source).largest)


def _check(
    ratios: Sequence[float] | None,
    quality: int,
    overhead: float,
    workers: int | None,
    on_error: str,
    limit: int | None,
    page_size: int | None,
    depth: str,
) -> None:
    wanted = USUAL if ratios is None else tuple(map(float, ratios))
    falling = all(a > b > 0 for a, b in pairwise(wanted))
    if wanted[:1] != (1.0,) or not falling or len(wanted) > layout.MAX_LEVELS:
        most = layout.MAX_LEVELS
        raise ValueError(f"levels must start with 1 and fall, at most {most} of them, got {list(wanted)}")
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be from 1 to 100, got {quality}")
    if not 0 <= overhead < math.inf:
        raise ValueError(f"`overhead` must be a number from 0 on, 0.5 for half as many bytes more, got {overhead}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f'`on_error` must be "raise" or "skip", got {on_error!r}')
    if depth not in DEPTHS:
        raise ValueError(f"`depth` must be one of {', '.join(DEPTHS)}, got {depth!r}")
    for name, value in (("workers", workers), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}")
    small, large = layout.MIN_PAGE, layout.MAX_PAGE
    if page_size is not None and (not small <= page_size <= large or page_size & (page_size - 1)):
        units = f"(--page-size, in MiB: {small >> 20} to {large >> 20})"
        raise ValueError(f"`page_size` must be a power of two from {small} to {large} bytes {units}, got {page_size}")


def _versions() -> dict[str, str]:
    import PIL

    return {"numpy": np.__version__, "pillow": PIL.__version__}


@contextmanager
def _room_for(target: Target) -> Iterator[None]:
    """Adds to the error of a full disk that finished work is kept."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        why = f"no room to write {target.name}: free some and repeat the command to resume"
        raise OSError(error.errno, why) from None


def _bar(total: int, done: int, progress: bool) -> Any:
    return progress_bar(progress, total=total, initial=done, unit="img", desc="convert", smoothing=0.1)


def _finish_bar(size: int, progress: bool) -> Any:
    """A bar for the bytes of the last step."""
    return progress_bar(progress, total=size, unit="B", unit_scale=True, unit_divisor=1024, desc="finish")


def _remarks(summary: Summary) -> dict[str, Any]:
    """The number of samples changed, refused and noted, and the first of each, for the file's meta data."""
    noted = {kind: getattr(summary, kind) for kind in REMARKS}
    found = {kind: {"count": len(each), "first": each[:MOST_REMARKS]} for kind, each in noted.items() if each}
    return {"remarks": found} if found else {}


def _summary(writer: Writer, target: str, classes: int) -> Summary:
    """Adds up the reports of all jobs, those of earlier runs too; remarks in the order of the source."""
    images, source_bytes, originals = 0, 0, 0
    remarks: dict[str, list[tuple[int, str, str]]] = {kind: [] for kind in REMARKS}
    for job in writer.reports():
        images += job["images"]
        source_bytes += job["bytes"]
        originals += job.get("originals", 0)
        for kind in REMARKS:
            remarks[kind] += job[kind]
    ordered = {kind: [(name, why) for _, name, why in sorted(found)] for kind, found in remarks.items()}
    return Summary(target, images, classes, source_bytes, 0, **ordered, originals=originals, hints=())
