from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, for networks too small for more, and no pictures, but where they are what is tested."""
    if request.module.__name__.split(".")[-1] != "test_run_report":
        monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: True)  # noqa: ARG005
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
