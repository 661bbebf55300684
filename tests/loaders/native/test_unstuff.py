"""Entropy-coded bytes up to the next marker, without stuffing: the same in every build."""

from __future__ import annotations

import re

import numpy as np
import pytest

from loaders.native.kernel import builds
from tests.loaders.native.inner import copy_to_marker, use_build


def expected(data: bytes) -> tuple[bytes, int, int]:
    """ITU T.81 B.1.1.2 and B.1.1.5: a marker is one or more ff and a byte that is neither ff nor 0."""
    found = re.search(rb"\xff+([^\x00\xff])", data, re.DOTALL)
    passed = data[: found.start()] if found else re.sub(rb"\xff+$", b"", data)
    code, end = (found[1][0], found.end()) if found else (0, len(data))
    return re.sub(rb"\xff+\x00", b"\xff", passed, flags=re.DOTALL), code, end


@pytest.fixture(params=builds())
def build(request: pytest.FixtureRequest) -> object:
    use_build(request.param)
    yield
    use_build(builds()[0])


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("marker", [b"", b"\xff\xd0", b"\xff\xff\xff\xd9", b"\xff"])
def test_markers_and_stuffing_at_every_place_of_a_vector(marker: bytes) -> None:
    for size in range(200):
        plain = bytes(k % 255 for k in range(size))
        for data in (plain + marker, plain + b"\xff\x00" + marker, b"\xff\x00" + plain + marker + plain):
            assert copy_to_marker(data) == expected(data), data.hex()


@pytest.mark.usefixtures("build")
def test_arbitrary_bytes() -> None:
    random = np.random.Generator(np.random.Philox(key=[5, 5]))
    for size in range(300):
        rare = random.choice(np.array([0xFF, 0x00, 0x12], np.uint8), size=size, p=[0.02, 0.97, 0.01]).tobytes()
        dense = random.choice(np.array([0xFF, 0x00, 0xD3], np.uint8), size=size).tobytes()
        for data in (rare, dense):
            assert copy_to_marker(data) == expected(data), data.hex()
