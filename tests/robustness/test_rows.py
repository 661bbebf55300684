"""Row tables come from the file: whatever they say, the kernel stays within its buffers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from loaders import native
from loaders.plan.records import table_bytes
from tests.robustness import corpus
from tests.robustness.damage import decoded
from tests.robustness.watchdog import watch

SIDE = 1024


def overlapping(step: int) -> Iterator[dict[str, Any]]:
    """Every MCU row said to begin `step` bytes behind the one before, the first one holding nearly all bytes."""
    jpeg, rows = corpus.top_heavy(SIDE)
    head = jpeg.index(b"\xff\xda") + 10
    table = corpus.forged(np.array(head + step * np.arange(rows), np.uint32), jpeg)[: table_bytes(rows)]
    samples = np.zeros(1, native.SAMPLE)
    samples["box"], samples["full"], samples["scale"] = (0, 0, 900, SIDE), (900, SIDE), 1
    entry = samples["entry"]
    entry["width"] = entry["height"] = SIDE
    entry["rows"], entry["head"], entry["offset"], entry["size"] = rows, head, len(table), len(jpeg)
    pending = decoded(native.Pool(1), samples, 64, table + jpeg)
    yield {"status": int(pending.status[0]), "why": pending.message(0)}
    with tempfile.TemporaryFile() as file:
        file.write(table + jpeg)
        file.flush()
        cutting = native.Cutting(native.Pool(1), samples, file.fileno())
        cutting.wait()
    yield {"status": int(cutting.status[0]), "why": cutting.message(0)}


@pytest.mark.parametrize("step", [0, 1, 100])
def test_rows_that_overlap_are_damage(step: int) -> None:
    for reply in watch("tests.robustness.test_rows:overlapping", step=step):
        assert reply["status"] == native.DAMAGED and "inside the row before" in reply["why"]


def test_the_check_is_the_kernels() -> None:
    for record, rows, _, _ in corpus.pyramid_records():
        table = table_bytes(rows)
        offsets = np.frombuffer(record, "<u4", rows, table - 4 * rows)
        assert corpus.forged(offsets, record[table:]) == record
        if rows:
            assert int.from_bytes(record[4 * rows : 4 * rows + 4], "little") == corpus.row_check(
                record[table + offsets[-1] :]
            )
