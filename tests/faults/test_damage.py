"""A small part of `python -m benchmarks faults`, in this process: whatever crashes here crashes the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.faults import damage

Run = Callable[[int, int, int], Iterator[dict[str, Any]]]


@pytest.mark.parametrize(
    ("run", "count"), [(damage.pool, 600), (damage.records, 600), (damage.transcode, 300), (damage.loader, 150)]
)
def test_damaged_jpegs_are_libjpegs_or_named(run: Run, count: int) -> None:
    survived = named = 0
    for reply in run(11, 0, count):
        assert reply["reproducers"] == []
        survived, named = survived + reply["survived"], named + reply["named"]
    assert survived + named == count and survived > count // 10 and named > count // 10
