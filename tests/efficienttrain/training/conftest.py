from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no pictures, except in their own tests."""
    if request.module.__name__.split(".")[-1] != "test_run_report":
        monkeypatch.setattr("efficienttrain.training.run_report._draw", lambda made, path: True)  # noqa: ARG005
