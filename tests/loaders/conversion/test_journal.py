from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.beton import layout
from loaders.conversion import journal as journal_module
from loaders.conversion.journal import Journal
from loaders.errors import BadDataset

START = 4096
WORK: dict[str, Any] = {"quality": 95, "sources": "abc"}


def opened(folder: Path, restart: bool = False, **changes: Any) -> Journal:
    return Journal(folder / "x.partial", WORK | changes, levels=2, start=START, restart=restart)


def job(number: int, sizes: list[int]) -> list[list[bytes]]:
    """What a converter appends for one sample whose records are 100 and 50 bytes long, without row tables."""
    blobs = [bytes([number]) * 100, bytes([number + 100]) * 50]
    row = np.zeros(1, layout.index_dtype(2))
    for level, blob in enumerate(blobs):
        row["level"]["ptr"][0, level] = sizes[level]
        row["level"]["size"][0, level], row["level"]["crc"][0, level] = len(blob), zlib.crc32(blob)
    return [[part] for part in (*blobs, row.tobytes(), b"name", bytes(8), b"{}\n")]


def filled(folder: Path, count: int) -> list[int]:
    with opened(folder) as journal:
        for number in range(count):
            journal.append(job(number, journal.sizes))
        return journal.sizes


def test_finished_jobs_are_found_again(tmp_path: Path) -> None:
    sizes = filled(tmp_path, 3)
    assert sizes[:2] == [START + 300, 150]
    with opened(tmp_path) as journal:
        assert (journal.jobs, journal.sizes) == (3, sizes)
        journal.append(job(3, journal.sizes))
    with opened(tmp_path) as journal:
        assert journal.jobs == 4
        assert (tmp_path / "x.partial" / "level1").read_bytes() == b"".join(bytes([100 + k]) * 50 for k in range(4))


@pytest.mark.parametrize("tail", [b"00000000 {}\n", b"1234", b"zzzzzzzz {\n", b"\n"])
def test_a_torn_line_does_not_count(tmp_path: Path, tail: bytes) -> None:
    sizes = filled(tmp_path, 2)
    with open(tmp_path / "x.partial" / "journal", "ab") as log:
        log.write(tail)
    with open(tmp_path / "x.partial" / "beton", "ab") as beton:
        beton.write(b"half a job")
    for _ in range(2):  # the torn line is gone the second time
        with opened(tmp_path) as journal:
            assert (journal.jobs, journal.sizes) == (2, sizes)
            assert (tmp_path / "x.partial" / "beton").stat().st_size == sizes[0]


@pytest.mark.parametrize("name", ["beton", "level1", "index", "names", "places", "report"])
@pytest.mark.parametrize("short", [True, False])
def test_bytes_that_a_power_failure_lost_are_noticed(
    tmp_path: Path, name: str, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 3)
    monkeypatch.setattr(journal_module, "_boot", lambda: "another start of the machine")
    path = tmp_path / "x.partial" / name
    data = bytearray(path.read_bytes())
    if short:
        del data[-1]
    else:
        data[-2] ^= 1
    path.write_bytes(data)
    with opened(tmp_path) as journal:
        assert journal.jobs == 2


def test_what_was_flushed_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SYNC_EVERY", 1)
    filled(tmp_path, 3)
    monkeypatch.setattr(Journal, "_holds", lambda *_: pytest.fail("read again what was flushed"))
    with opened(tmp_path) as journal:
        assert journal.jobs == 3


def test_what_this_start_of_the_machine_wrote_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill nothing is read again, however much is not flushed yet; where starts have no names, everything."""
    filled(tmp_path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_holds", lambda *_: pytest.fail("read again what is in the page cache"))
        with opened(tmp_path) as journal:
            assert journal.jobs == 3
    monkeypatch.setattr(journal_module, "_boot", lambda: "")
    monkeypatch.setattr(Journal, "_holds", lambda *_: False)
    with opened(tmp_path) as journal:
        assert journal.jobs == 0


def test_other_work_is_not_continued(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with pytest.raises(BadDataset, match=r"differs in quality; .* --restart"):
        opened(tmp_path, quality=90)
    with opened(tmp_path) as journal:
        assert journal.jobs == 2
    with opened(tmp_path, restart=True, quality=90) as journal:
        assert (journal.jobs, journal.sizes[0]) == (0, START)


def test_a_finished_beton_that_was_moved_away_starts_anew(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / "x.partial" / "beton").rename(tmp_path / "x")
    with opened(tmp_path) as journal:
        assert journal.jobs == 0


def test_two_converters_do_not_share_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as first:
        with pytest.raises(BadDataset, match="another converter"):
            opened(tmp_path)
        first.append(job(0, first.sizes))
    with opened(tmp_path) as journal:
        assert journal.jobs == 1


def test_a_forked_process_does_not_keep_the_folder_locked(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    inherited = os.dup(journal._log.fileno())  # as fork() leaves it behind
    journal.close()
    with opened(tmp_path):
        os.close(inherited)


def test_removed_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.remove()
    assert list(tmp_path.iterdir()) == []
