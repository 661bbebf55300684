from __future__ import annotations

import numpy as np
import pytest

from loaders.beton.gaps import Gaps, Members


@pytest.mark.parametrize("present", [[0], [9], [0, 9], [3, 4, 5], [1, 3, 5, 7], list(range(10)), [2, 3, 8]])
@pytest.mark.parametrize("by_members", [False, True])
def test_numbers_are_counted_without_those_that_are_missing(present: list[int], by_members: bool) -> None:
    missing = [k for k in range(10) if k not in present]
    some = Members(present[::-1]) if by_members else Gaps(missing[::-1])
    ranks = np.arange(len(present))
    assert some.present(ranks).tolist() == present
    assert some.ranks(np.array(present)).tolist() == ranks.tolist()
    for first, last in ((0, 10), (3, 8), (4, 4)):
        assert some.missing(first, last).tolist() == [k for k in missing if first <= k < last]
