"""A run under each build of the kernel's hot loops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loaders.native.library import library


@pytest.fixture(params=["portable", "best"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test under both builds of the hot loops."""
    library().et_force_isa(request.param.encode())
    yield request.param
    library().et_force_isa(b"best")
