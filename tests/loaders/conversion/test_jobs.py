from __future__ import annotations

import os
from pathlib import Path

from loaders.conversion.jobs import JOB_BYTES, JOB_FILES, cut_jobs, fingerprint, largest_record, take
from loaders.sources.scan import Sources


def sources(count: int) -> Sources:
    return Sources("root", ["a", "b"], [f"{k:05d}.jpg" for k in range(count)], [k * 2 // count for k in range(count)])


def test_jobs_cover_every_source_once_and_in_order() -> None:
    sizes = [0] * 200 + [JOB_BYTES // 3] * 9 + [2 * JOB_BYTES, 5, JOB_BYTES, 0]
    given = sources(len(sizes))
    jobs = cut_jobs(given, sizes, (1.0,), 95, 1)
    assert [name for job in jobs for name in job.names] == given.names
    assert [size for job in jobs for size in job.sizes] == sizes
    assert [job.start for job in jobs] == [given.names.index(job.names[0]) for job in jobs]
    assert max(len(job.names) for job in jobs) == JOB_FILES
    assert all(sum(job.sizes) <= JOB_BYTES or len(job.names) == 1 for job in jobs)


def test_a_limit_is_spread_over_the_classes() -> None:
    few = take(sources(100), 4)
    assert few.names == ["00000.jpg", "00025.jpg", "00050.jpg", "00075.jpg"]
    assert few.labels == [0, 0, 1, 1]
    assert take(sources(100), 200) == take(sources(100), None) == sources(100)


def test_fingerprints_tell_changes(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"abc")
    given = Sources(os.fspath(tmp_path), ["a"], ["1.jpg", "2.jpg", "gone.jpg"], [0, 0, 0])
    sizes, before = fingerprint(given)
    assert sizes == [3, 3, 0]
    assert fingerprint(given)[1] == before
    os.utime(tmp_path / "2.jpg", ns=(0, 0))
    assert fingerprint(given)[1] != before
    assert fingerprint(given._replace(labels=[0, 0, 1]))[1] != fingerprint(given)[1]


def test_records_of_other_formats_may_grow_more() -> None:
    assert largest_record(["a.jpg"], [1 << 20]) < largest_record(["a.png"], [1 << 20])
