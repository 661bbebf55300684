"""A conversion in parts: each is a beton of its own, made anywhere and in any order; a manifest joins them.

Part i of n holds the positions i * N // n to (i + 1) * N // n - 1 of the shuffled order of the source's N samples, so
that each part is a fair sample of the set. With `order="source"`, and of a source that can only be read from its start,
they are positions in the source. Together the parts hold the samples of a conversion in one piece, under the same
indices and in the same order of storage. Beside each lies a report:

    {"format": "beton-part", "version": 1, "work": "sha256...",
     "part": {an entry of the manifest} or null if none of its images can be converted,
     "images": 20000, "classes": 1000, "source_bytes": 2147483648,
     "changed": [[name, why], ...], "refused": [...], "notes": [...]}

`work` identifies the source and the settings, so that parts of different conversions are never mixed. A part is
complete if its report belongs to the same work and names a file of the size that lies there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from typing import Any, NamedTuple

from ..beton.stored_order import Span
from ..errors import BadDataset
from ..sources.composed import Excerpt
from ..sources.open import open_dataset, open_source
from ..sources.parts_manifest import Manifest, PartEntry
from ..sources.source import Sample, Source, extras
from ..storage import files
from ..storage.store import is_url
from .convert import FORMAT, NothingConverted, Summary, convert, hints_on
from .jobs import StoredSource
from .journal import remove_finished
from .levels import ratios_for
from .settings import Settings, check_counts, limited
from .target import Target
from .writer import REMARKS

REPORT, REPORT_VERSION = "beton-part", 1


class Spread(Excerpt):
    """Samples from all over a source, those of a span of its shuffled order, as a source."""

    partial = True  # what is said of all labels would be wrong

    def __init__(self, source: Source, span: Span) -> None:
        numbers, cut = span.numbers().tolist(), extras(source).part
        super().__init__(source if cut is None else cut(numbers))
        self.span, self._numbers = span, numbers if cut is None else range(len(numbers))
        if cut is not None:
            self.nbytes, self.largest = extras(self._source).nbytes, extras(self._source).largest

    def __len__(self) -> int:
        return len(self.span)

    def _place(self, index: int) -> int:
        return int(self._numbers[index])

    def fingerprint(self) -> str:
        """The source's, with the span."""
        return f"{self._source.fingerprint()} {self.span.first} to {self.span.last} of {self.span.samples}"


class Slice(Excerpt):
    """A run of a source's samples, as a source."""

    partial = True  # as above

    def __init__(self, source: Source, start: int, stop: int) -> None:
        """The samples `start` to `stop` - 1."""
        super().__init__(source)
        self._start, self._stop = start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def _place(self, index: int) -> int:
        return self._start + index

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        return islice(self._source.samples(self._start + start), len(self) - start)

    def fingerprint(self) -> str:
        """The source's, with the run."""
        return f"{self._source.fingerprint()} {self._start} to {self._stop}"


class Part(NamedTuple):
    """One part of a conversion, which any process can make; it can be pickled.

    Attributes:
        source: its samples.
        path: the beton to write, a path or a URL.
        work: identifies the conversion.
        settings: of the conversion.
    """

    source: Source
    path: str
    work: str
    settings: Settings

    @files.connections()
    def convert(self, *, restart: bool = False, **running: Any) -> Summary:
        """Converts this part, or resumes it. A complete part is left as it is, unless `restart` is set.

        running: further keywords of `convert`: workers, progress, work_dir.

        Raises:
            As `convert`, but a part without any image that can be converted is no error.
        """
        if not restart and (report := report_of(self.path, self.work)) is not None:
            remove_finished(Target(self.path, running.get("work_dir")).working)
            return summary_of(report, self.path)
        try:
            return convert(
                self.source, self.path, restart=restart, report=self._report, **vars(self.settings), **running
            )
        except NothingConverted as error:
            with suppress(FileNotFoundError):
                files.delete(self.path)  # of an earlier conversion
            self._write(error.summary, None)
            return error.summary

    def _report(self, summary: Summary) -> None:
        """Reports that the part is complete."""
        with open_dataset(self.path) as beton:
            self._write(summary, PartEntry.of(beton, self.path.rpartition("/")[2]))

    def _write(self, summary: Summary, entry: PartEntry | None) -> None:
        """Writes the report. entry: of the manifest; None: no image could be converted."""
        part = None if entry is None else entry.as_json()
        report = {"format": REPORT, "version": REPORT_VERSION, "work": self.work, "part": part}
        report |= {
            name: getattr(summary, name) for name in ("images", "classes", "source_bytes", "originals", *REMARKS)
        }
        files.replace(_report_path(self.path), (json.dumps(report, indent=1) + "\n").encode())


class ShardedConversion:
    """A conversion in parts, which any number of processes can make at the same time.

        conversion = ShardedConversion("photos/train", "train.beton", 16)
        conversion.part(3).convert()
        conversion.finish()  # the last one to finish writes train.json

    Every process opens the same source, and writes to the same folder, or below the same URL.

    Attributes:
        images: samples of the source.
        manifest: path or URL of the manifest that is written when all parts are complete.
        paths: the beton of each part.
    """

    @files.connections()
    def __init__(self, src: Any, out: str | os.PathLike[str], parts: int | None = None, **settings: Any) -> None:
        """Opens the source.

        Args:
            src: see `convert`.
            out: `train.beton` makes the parts `train-00000-of-00016.beton`, ... and the manifest `train.json`; a path
                or a URL.
            parts: how many; None: chosen by the number of images, see `usual_parts`.
            settings: keywords of `convert`, except `workers`, `restart`, `progress`, `work_dir`, `as_cache` and
                `report`.

        Raises:
            ValueError: more parts than images, a wrong setting, or a URL that cannot be written to.
            FileNotFoundError, BadDataset: see `convert`.
        """
        target = files.at_home(out)
        stem, ending = os.path.splitext(target)
        if ending != ".beton":
            raise ValueError(f"`out` must end with .beton, from which the parts get their names, got {target}")
        Target(target)  # refuses targets that cannot be written to
        limit = settings.pop("limit", None)
        check_counts(limit=limit)
        names = Settings.__dataclass_fields__.keys() & settings.keys()
        chosen = Settings.of(**{name: settings.pop(name) for name in names})
        source = open_source(src, fields=chosen.fields, classes=chosen.classes, **settings)
        self._hints = tuple(hints_on(source, chosen.fields or source.fields))
        source = limited(source, limit)
        count = usual_parts(len(source)) if parts is None else parts
        if not 1 <= count <= len(source):
            raise ValueError(f"there must be 1 to {len(source)} parts, as many as images at most, got {count}")
        self.images = len(source)
        order = StoredSource(source, chosen.order).order
        # Each part would choose levels by its own images.
        self._settings = replace(chosen, order=order, ratios=chosen.ratios or ratios_for(source))
        self._source, self._work = source, _identity(source, count, self._settings)
        self.manifest = f"{stem}.json"
        self.paths = [f"{stem}-{k:05d}-of-{count:05d}.beton" for k in range(count)]

    def part(self, number: int) -> Part:
        """One part; `number` counts from 0."""
        start, stop = self._range(number)
        cut = extras(self._source).part
        if self._settings.order == "shuffled":
            source: Source = Spread(self._source, Span(self.images, start, stop))
        else:
            source = Slice(self._source, start, stop) if cut is None else cut(range(start, stop))
        return Part(source, self.paths[number], self._work, replace(self._settings, order="source"))

    def size(self, number: int) -> int:
        """Samples of one part."""
        start, stop = self._range(number)
        return stop - start

    def _range(self, number: int) -> tuple[int, int]:
        return number * self.images // len(self), (number + 1) * self.images // len(self)

    def __len__(self) -> int:
        return len(self.paths)

    def missing(self) -> list[int]:
        """Numbers of the parts that are not complete."""
        return [k for k, report in enumerate(self._reports()) if report is None]

    @files.connections()
    def _reports(self) -> list[dict[str, Any] | None]:
        """Each part's report; None: it is not complete."""
        return files.each(lambda path: report_of(path, self._work), self.paths, is_url(self.manifest))

    @files.connections()
    def finish(self) -> Summary | None:
        """Writes the manifest if all parts are complete; otherwise returns None.

        Of several processes that finish at the same time, each may do so: they write the same text.

        Raises:
            BadDataset: none of the images can be converted.
        """
        reports = self._reports()
        complete = [report for report in reports if report is not None]
        if len(complete) < len(reports):
            return None
        total = Summary(self.manifest, 0, 0, 0, 0, [], [], [])
        for report, path in zip(complete, self.paths, strict=True):
            total = _added(total, summary_of(report, path))
        entries = [PartEntry.from_json(report["part"]) for report in complete if report["part"] is not None]
        if not entries:
            raise BadDataset(f"{self._source.path}: none of its {self.images} images can be converted")
        files.replace(self.manifest, Manifest(entries).text())
        return total._replace(hints=self._hints)


def usual_parts(images: int) -> int:
    """Parts of a conversion that does not say how many: 20,000 images each, but at least 16 and at most 1,024."""
    return max(1, min(images, max(16, min(1024, -(-images // 20_000)))))


def report_of(path: str, work: str) -> dict[str, Any] | None:
    """The report of a part that is complete and belongs to this work, else None.

    Raises:
        LoaderError: the store of a remote part refuses, or keeps failing.
    """
    try:
        report: dict[str, Any] = json.loads(files.read_all(_report_path(path)))
        if (report["format"], report["version"], report["work"]) != (REPORT, REPORT_VERSION, work):
            return None
        if report["part"] is not None and files.size(path) != report["part"]["bytes"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report


def summary_of(report: dict[str, Any], path: str) -> Summary:
    """The summary of a complete part."""
    size = 0 if report["part"] is None else int(report["part"]["bytes"])
    remarks: dict[str, Any] = {kind: [(name, why) for name, why in report[kind]] for kind in REMARKS}
    facts = report["images"], report["classes"], report["source_bytes"], size
    return Summary(path, *facts, **remarks, originals=report.get("originals", 0))


def _added(a: Summary, b: Summary) -> Summary:
    return Summary(
        a.out,
        a.images + b.images,
        max(a.classes, b.classes),
        a.source_bytes + b.source_bytes,
        a.bytes + b.bytes,
        **{kind: getattr(a, kind) + getattr(b, kind) for kind in REMARKS},
        originals=a.originals + b.originals,
    )


def _report_path(part: str) -> str:
    return f"{os.path.splitext(part)[0]}.report.json"


def _identity(source: Source, parts: int, settings: Settings) -> str:
    """A digest of all that determines the parts. Sources that can name their samples cheaply do so by `listing`."""
    listing = (extras(source).listing or source.fingerprint)()
    facts = [FORMAT, listing, len(source), parts, asdict(replace(settings, on_error="raise"))]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
