"""Writes the results of conversion jobs, in order, to the working folder."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..beton import layout
from ..beton.fields import LABEL_ONLY, FieldType, move_pointers, room, row_dtype
from ..beton.tables import BLOCK, Pages, place
from ..errors import BadSample
from .jobs import StoredSource
from .journal import Journal, Piece
from .transcode import Converted, Job

REMARKS = ("changed", "refused", "notes")
PLACE = np.dtype("<i8")
"""Of the file `places`."""


Remark = tuple[int, str, str]
"""A sample's number in the source, its name, and the reason."""


@dataclass(frozen=True, kw_only=True)
class JobTally:
    """A line of the file `report`: what became of the samples of a job."""

    samples: int
    """Samples read."""
    images: int
    """Samples stored."""
    bytes: int
    """Bytes of their source images."""
    originals: int = 0
    """Samples whose original file is kept; older working folders do not count them."""
    pages: tuple[int, int]
    """Bytes of a page that holds every record so far, and of one that holds every stored value."""
    changed: Sequence[Remark]
    refused: Sequence[Remark]
    notes: Sequence[Remark]


class Writer:
    """Assigns places to records and stored fields, and appends them to a journal.

    Attributes:
        samples: number of the source's samples that are done, in earlier runs too.
    """

    def __init__(
        self, journal: Journal, source: StoredSource, page_size: int, types: Mapping[str, FieldType], on_error: str
    ) -> None:
        """
        Args:
            source: the samples that are converted.
            page_size: of the first page, bytes.
            types: the fields beside the image.
            on_error: see `convert`.
        """
        self._journal, self._source, self._types, self._on_error = journal, source, types, on_error
        self.samples, pages = 0, [page_size, page_size]
        for tally in self.tallies():
            self.samples += tally.samples
            pages = [max(page_size, page) for page in tally.pages]
        self._pages = Pages(len(source), pages[0], journal.size("beton"), types)
        self._values_page = pages[1]
        self._further = dict(types) != LABEL_ONLY

    @property
    def page_size(self) -> int:
        """Bytes of a page that holds every record and every stored value so far."""
        return max(self._pages.page_size, self._values_page)

    def tallies(self) -> Iterator[JobTally]:
        """The tally of each finished job, in earlier runs too."""
        lines = self._journal.files["report"]
        lines.seek(0)
        for line in lines:
            yield JobTally(**json.loads(line))

    def label_range(self) -> tuple[int, int]:
        """The least and the largest label so far; -1 without any sample."""
        index, row, ends = self._journal.files["index"], layout.index_dtype(self._journal.levels), set[int]()
        index.seek(0)
        while block := index.read(BLOCK * row.itemsize):
            labels = np.frombuffer(block, row)["label"]
            ends |= {int(labels.min()), int(labels.max())}
        return min(ends, default=-1), max(ends, default=-1)

    def store(self, job: Job, result: Converted) -> None:
        """Writes one job.

        Raises:
            BadSample: a sample was refused and `on_error` is "raise".
        """
        journal = self._journal
        numbers = self._source.numbers(job.start + np.arange(len(job.samples)))
        if result.refused and self._on_error == "raise":
            position, why = result.refused[0]
            if journal.jobs == 0:
                journal.remove()
            name = job.samples[position].name
            raise BadSample(int(numbers[position]), name, f'{why}; on_error="skip" (--on-error skip) leaves it out')
        level0 = self._placed(result)
        levels = result.levels
        for level in range(1, journal.levels):
            levels["ptr"][:, level] += journal.size(f"level{level}")
        names = [os.fsencode(job.samples[position].name) for position in result.kept]
        rows = np.zeros(len(names), layout.index_dtype(journal.levels))
        rows["label"] = result.labels
        rows["name_size"] = [len(name) for name in names]
        rows["name"] = journal.size("names") + np.cumsum(rows["name_size"]) - rows["name_size"]
        rows["level"] = levels
        small = [rows.tobytes(), b"".join(names), numbers[result.kept].astype(PLACE).tobytes()]
        if self._further:
            small += self._values(result)
        small.append(self._tally(job, result, numbers))
        journal.append([level0, *([part] for part in (*result.blobs[1:], *small))])
        self.samples += len(job.samples)

    def _placed(self, result: Converted) -> list[Piece]:
        """Level 0 of a job as it lies in the file: its records, with gaps before pages. Sets their pointers.

        Records are not copied: those without a gap between them are one piece.
        """
        column = result.levels["ptr"][:, 0]
        ends = column + result.levels["size"][:, 0]
        starts = np.concatenate([np.zeros(1, ends.dtype), ends[:-1]])[: len(ends)]
        at = self._pages.position
        offsets = [self._pages.place(size) for size in (ends - starts).tolist()]
        pieces: list[Piece] = []
        blob, written = memoryview(result.blobs[0]), 0
        for start, offset in zip(starts.tolist(), offsets, strict=True):
            gap = offset - at - (start - written)
            if gap:
                pieces += [blob[written:start], bytes(gap)]
                at, written = offset, start
        pieces.append(blob[written:])
        column += np.array(offsets, column.dtype) - starts
        return pieces

    def _values(self, result: Converted) -> tuple[bytes, bytes, bytes]:
        """Rows, values and checks of a job's fields. A sample's values lie together, in one page."""
        rows = np.zeros(len(result.fields), row_dtype(self._types))
        values, checks = bytearray(), []
        start = position = self._journal.size("values")
        for k, (row, blobs) in enumerate(result.fields):
            rows[k] = row
            checks += [zlib.crc32(blob) for blob in blobs]
            size = sum(room(len(blob)) for blob in blobs)
            position, offset, self._values_page = place(position, size, self._values_page)
            values += bytes(offset - start - len(values))
            for blob in blobs:
                values += blob or b"\0"
            move_pointers(self._types, rows[k : k + 1], offset)
        return rows.tobytes(), bytes(values), np.array(checks, "<u4").tobytes()

    def _tally(self, job: Job, result: Converted, numbers: NDArray[np.int64]) -> bytes:
        """The job's line of the file `report`. numbers: of its samples in the source."""

        def remarks(found: list[tuple[int, str]]) -> list[Remark]:
            return [(int(numbers[position]), job.samples[position].name, why) for position, why in found]

        tally = JobTally(
            samples=len(job.samples),
            images=len(result.kept),
            bytes=sum(result.sizes),
            originals=len(result.originals),
            pages=(self._pages.page_size, self._values_page),
            changed=remarks(result.changed),
            refused=remarks(result.refused),
            notes=remarks(result.notes),
        )
        return json.dumps(vars(tally), sort_keys=True).encode("ascii") + b"\n"
