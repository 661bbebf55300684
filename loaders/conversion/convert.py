"""From a source to a pyramid: transcodes in threads, writes in order, resumes after an interruption."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..beton import layout
from ..beton.fields import LABEL_ONLY, META, ORIGINAL, FieldSpec, FieldType
from ..beton.stored_order import described
from ..beton.tables import Pages
from ..errors import BadDataset
from ..processors import available_processors
from ..progress import progress_bar
from ..sources.image_folder import ImageFolder
from ..sources.labels import Labels, counted_from_1
from ..sources.open import open_source
from ..sources.source import Source, extras
from ..storage.files import connections
from .assemble import finish, work_left
from .jobs import JOB_BYTES, JOB_FILES, StoredSource, cut_jobs, read_ahead, run_jobs
from .journal import LISTING, Journal
from .levels import OVERHEAD, ratios_for
from .settings import Settings, check_counts, limited
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
    report: Callable[[Summary], object] = lambda _: None,
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
        quality: JPEG quality of the reduced levels, 1 to 100; lower if the source's own is lower, and higher for the
            small levels of large photographs, see `levels.qualities`. Level 0 is lossless.
        overhead: bytes of an image's levels with a shorter side below 128 pixels at most, as a share of its level 0,
            0 or more. Those that do not fit are left out, so that small JPEGs of low quality do not double in size.
            Levels below 16 pixels, the smallest resolution, are always left out.
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
        report: is called with the result when `out` is complete, and once more by the next call if the process is
            killed meanwhile.
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
    settings = Settings.of(
        fields=fields, classes=classes, ratios=ratios, quality=quality, overhead=overhead, on_error=on_error,
        page_size=page_size, depth=depth, keep_codec=keep_codec, order=order,
    )  # fmt: skip
    check_counts(workers=workers, limit=limit)
    target = Target(out, work_dir)
    target.check_source(src)
    listing = target.working / LISTING
    if restart:
        listing.unlink(missing_ok=True)
    origin = open_source(
        src,
        fields=settings.fields,
        classes=settings.classes,
        allow_empty=allow_empty,
        split=split,
        listing=os.fspath(listing),
        **options,
    )
    target.check_source(*extras(origin).files)
    content = _Content(limited(origin, limit), settings)
    with _room_for(target), content.journal(target, restart) as journal:
        if as_cache and target.exists():  # asked under the journal's lock: another converter may just have finished
            journal.remove()
            raise FileExistsError(f"{target.name}: is there already; remove it to make it again")
        if journal.result is not None:
            return _ended(journal, _recalled(journal.result, target.name), report)
        if isinstance(origin, ImageFolder):
            origin.keep()
        writer = Writer(journal, content.stored, content.start_page, content.types, settings.on_error)
        _transcode(content, writer, workers or available_processors(), progress)
        if content.source.fingerprint() != content.fingerprint:
            raise BadDataset(f"{origin.path}: changed while it was converted; run again with --restart")
        names, hints = _names_and_hints(content, origin, writer)
        summary = _summary(writer, target.name, len(names))
        if summary.images == 0:
            journal.remove()
            raise NothingConverted(summary, origin.path)
        left_out = sorted(number for tally in writer.tallies() for number, _, _ in tally.refused)
        meta = {**content.how(), **_remarks(summary), **content.described(left_out), "classes": names}
        if as_cache:
            meta["cache"] = {"source": content.fingerprint, "left_out": left_out}
        with _finish_bar(work_left(journal), progress) as bar:
            size = finish(journal, writer.page_size, meta, content.further, bar.update)
        summary = summary._replace(bytes=size, hints=(*hints, *_turned(summary)))
        target.publish(journal.folder / "beton", partial(journal.note, result=summary._asdict()))
        return _ended(journal, summary, report)


class _Content:
    """What a pyramid will hold: the samples of `source`, and of each the levels `ratios` and the fields `types`."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self.source, self.settings, self.fingerprint = source, settings, source.fingerprint()
        types = source.fields if settings.fields is None else settings.fields
        self.types = _with_original(types) if settings.keep_codec else types
        self.further = None if self.types == LABEL_ONLY else self.types  # what FFCV's usual two fields do not hold
        of_class = types.get("label") == LABEL_ONLY["label"]
        self.labels = Labels(source.classes, settings.classes) if of_class else None
        self.classes = list(settings.classes or ()) if self.labels is None else self.labels.classes
        sizes = extras(source).nbytes, extras(source).largest  # pages grow if they name too little
        self.start_page = settings.page_size or layout.page_size_for(*sizes)
        if not len(source):
            raise BadDataset(f"{source.path}: holds no samples")
        self.stored = StoredSource(source, settings.order)
        self.ratios = settings.ratios or ratios_for(source)

    def how(self) -> dict[str, Any]:
        """All that decides how an image is stored. It is part of the journal, and of the file's meta data."""
        how = {
            "format": FORMAT,
            "full_quality": FULL_QUALITY,
            "quality": self.settings.quality,
            "overhead": self.settings.overhead,
            "ratios": list(self.ratios),
            "versions": _versions(),
        }
        return how if self.settings.depth == "refuse" else {**how, "depth": self.settings.depth}

    def journal(self, target: Target, restart: bool) -> Journal:
        """The target's working folder, open. Unfinished work in it must be of the same source and settings."""
        work = {
            **self.how(),
            "job": [JOB_FILES, JOB_BYTES],
            "images": len(self.source),
            "sources": self.fingerprint,
            "order": self.stored.order,
            **target.settings(),
            "classes": self.classes,
            "fields": {name: str(kind) for name, kind in self.types.items()},
        }
        first = Pages(len(self.source), self.start_page, types=self.types).first
        files = () if self.further is None else ("rows", "values", "checks")
        return Journal(
            target.working,
            work,
            levels=len(self.ratios),
            start=first,
            restart=restart,
            further=files,
            complete=target.holds,
        )

    def described(self, left_out: list[int]) -> dict[str, Any]:
        """Entries of the file's meta data: fields of special kinds, the stored order, the part of a larger source.

        left_out: numbers of the samples that the file does not hold, sorted.
        """
        meta: dict[str, Any] = {}
        for kind, key in META.items():
            if found := [name for name, of in self.types.items() if of.kind == kind]:
                meta[key] = found
        if self.stored.order == "shuffled":
            meta["storage"] = described(len(self.source), left_out)
        if (span := extras(self.source).span) is not None:
            meta["span"] = span.without(left_out).described()
        return meta


def _transcode(content: _Content, writer: Writer, workers: int, progress: bool) -> None:
    """Converts and writes the samples that earlier runs have left."""
    template = Job(0, [], content.ratios, content.settings, content.labels, content.further)
    stream = run_jobs(read_ahead(cut_jobs(content.stored, writer.samples, template)), workers)
    with closing(stream), _bar(len(content.stored), writer.samples, progress) as bar:
        for job, result in stream:
            writer.store(job, result)
            bar.update(len(job.samples))


def _names_and_hints(content: _Content, origin: Source, writer: Writer) -> tuple[list[str], list[str]]:
    """Class names, of labels without names their numbers, and remarks on the source as a whole."""
    names, hints = content.classes, list(hints_on(origin, content.types))
    if content.labels is not None and not names:
        least, largest = writer.label_range()
        names = [str(k) for k in range(largest + 1)]
        if least == 1 and content.source is origin and not extras(origin).partial:
            hints.append(counted_from_1(largest, "subtract 1 in a list of (image, label), see docs/sources.md"))
    return names, hints


def _turned(summary: Summary) -> Iterator[str]:
    """A remark on images that their cameras turned."""
    if turned := sum(TURNED in why for _, why in (*summary.notes, *summary.changed)):
        yield (
            f"{turned:,} images have an {TURNED} other than upright, which is ignored, as torchvision ignores it; "
            "`mogrify -auto-orient` would turn the files"
        )


def _ended(journal: Journal, summary: Summary, report: Callable[[Summary], object]) -> Summary:
    """The result of a conversion whose target is complete; removes its working folder."""
    report(summary)
    journal.remove()
    return summary


def _recalled(result: Mapping[str, Any], out: str) -> Summary:
    """A summary that was noted as JSON."""
    remarks = {kind: [(name, why) for name, why in result[kind]] for kind in REMARKS}
    return Summary(**{**result, **remarks, "out": out, "hints": tuple(result["hints"])})


def hints_on(source: Source, types: Mapping[str, FieldType]) -> Iterator[str]:
    """Remarks on a source as a whole."""
    yield from extras(source).hints
    if "label" not in types:
        stored = ", ".join(name for name in types if name != ORIGINAL) or "none"
        yield (
            f"no label was found; stored fields: {stored}. Name the label by `label_column` (--label-column), or train "
            "on a field (--target)"
        )


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
    """Adds up the tallies of all jobs, those of earlier runs too; remarks in the order of the source."""
    images, source_bytes, originals = 0, 0, 0
    remarks: dict[str, list[tuple[int, str, str]]] = {kind: [] for kind in REMARKS}
    for tally in writer.tallies():
        images += tally.images
        source_bytes += tally.bytes
        originals += tally.originals
        for kind in REMARKS:
            remarks[kind] += getattr(tally, kind)
    ordered = {kind: [(name, why) for _, name, why in sorted(found)] for kind, found in remarks.items()}
    return Summary(target, images, classes, source_bytes, 0, **ordered, originals=originals, hints=())
