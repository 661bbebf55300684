"""A Loader in an ignite Engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.recorded import epochs, make, text

engine = pytest.importorskip("ignite.engine")


def test_every_epoch_is_new(beton: Path) -> None:
    seen = []

    def step(_: Any, batch: Any) -> None:
        images, _, indices = batch
        seen.append(text(images, indices))

    engine.Engine(step).run(make(beton), max_epochs=3)
    assert seen == epochs(beton, 0, 1, 2)
