from __future__ import annotations

import pytest

from benchmarks.faults import training


@pytest.mark.slow
def test_a_training_that_is_killed_ends_as_if_nothing_had_been() -> None:
    *_, reply = training.kill(3, 1)
    assert reply["tries"] == 2 and reply["reproducers"] == []
    assert any(0 < steps < reply["facts"]["steps"] for steps in reply["facts"]["killed_after"])
