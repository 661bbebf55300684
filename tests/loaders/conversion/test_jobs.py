from __future__ import annotations

from collections.abc import Iterator

import pytest

from loaders.conversion.jobs import JOB_BYTES, JOB_FILES, StoredSource, cut_jobs
from loaders.conversion.transcode import Job
from loaders.errors import BadDataset
from loaders.sources.source import FileRange, Sample

TEMPLATE = Job(0, [], (1.0,))


class Sized:
    """Samples of these sizes, by name their numbers."""

    path, classes, fields = "sized", [], {}

    def __init__(self, sizes: list[int], length: int | None = None) -> None:
        self.sizes, self.length = sizes, len(sizes) if length is None else length

    def __len__(self) -> int:
        return self.length

    def samples(self, start: int = 0) -> Iterator[Sample]:
        for k in range(start, len(self.sizes)):
            yield Sample(str(k), FileRange(str(k), self.sizes[k]), {})

    def fingerprint(self) -> str:
        return ""


def stored(sizes: list[int], length: int | None = None) -> StoredSource:
    """Samples of these sizes, in their order."""
    return StoredSource(Sized(sizes, length), None)


def test_jobs_cover_every_source_once_and_in_order() -> None:
    sizes = [0] * 200 + [JOB_BYTES // 3] * 9 + [2 * JOB_BYTES, 5, JOB_BYTES, 0]
    jobs = list(cut_jobs(stored(sizes), 0, TEMPLATE))
    assert [sample.name for job in jobs for sample in job.samples] == [str(k) for k in range(len(sizes))]
    assert [job.start for job in jobs] == [int(job.samples[0].name) for job in jobs]
    assert max(len(job.samples) for job in jobs) == JOB_FILES
    assert all(sum(s.image.size for s in job.samples) <= JOB_BYTES or len(job.samples) == 1 for job in jobs)
    later = list(cut_jobs(stored(sizes), jobs[3].start, TEMPLATE))
    assert later == jobs[3:]


@pytest.mark.parametrize(
    ("length", "told"), [(99, "yields more samples than its length, 99"), (101, "yields 100 samp")]
)
def test_a_length_that_is_wrong_is_told(length: int, told: str) -> None:
    with pytest.raises(BadDataset, match=told):
        list(cut_jobs(stored([1] * 100, length), 0, TEMPLATE))
