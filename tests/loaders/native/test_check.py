"""The check of a run of bytes: one value, whichever build computes it."""

from __future__ import annotations

import numpy as np

from loaders.native.kernel import builds
from tests.loaders.native.inner import row_check, use_build


def test_every_build_has_the_same_checks() -> None:
    data = np.random.Generator(np.random.Philox(key=[3, 3])).bytes(200)
    made = set()
    for build in builds():
        use_build(build)
        made.add(tuple(row_check(data[:size]) for size in range(len(data))))
    use_build(builds()[0])
    assert len(made) == 1 and len(set(*made)) == len(data)
