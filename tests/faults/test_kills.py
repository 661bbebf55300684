from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.faults import kills


@pytest.mark.slow
@pytest.mark.parametrize("run", [kills.kill, kills.worker, kills.full_disk, kills.read_only, kills.crowd])
def test_no_half_written_beton_and_nothing_left(run: Callable[[int, int], Iterator[dict[str, Any]]]) -> None:
    *_, reply = run(3, 1)
    if "skipped" in reply:
        pytest.skip(reply["skipped"])
    assert reply["tries"] == 1 and reply["reproducers"] == []
