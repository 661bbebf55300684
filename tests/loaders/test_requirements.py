"""Without DALI: one line that says what to install, and everything else works."""

from __future__ import annotations

import importlib
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from loaders.errors import LoaderError
from loaders.requirements import dali_missing
from tests.contract import make


@pytest.mark.parametrize(
    ("cuda", "wheel"), [("12.8", "nvidia-dali-cuda120"), ("13.0", "nvidia-dali-cuda130"), (None, "nvidia-dali-cuda130")]
)
@pytest.mark.parametrize(
    ("found", "why"),
    [
        (ModuleNotFoundError("No module named 'nvidia'", name="nvidia"), "is not installed"),
        (OSError("libnvjpeg.so:\nundefined symbol"), "does not import (OSError: libnvjpeg.so: undefined symbol)"),
        ("1.49.0", "is version 1.49.0, 1.50 or later is needed"),
    ],
)
def test_the_right_wheel_in_one_line(
    monkeypatch: pytest.MonkeyPatch, beton: Path, cuda: str | None, wheel: str, found: Any, why: str
) -> None:
    ours = importlib.import_module

    def load(name: str, package: str | None = None) -> Any:
        if name.startswith("."):
            return ours(name, package)
        if isinstance(found, Exception):
            raise found
        return types.SimpleNamespace(__version__=found)

    monkeypatch.setattr(importlib, "import_module", load)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(LoaderError) as caught:
        make(beton, backend="dali")
    said = str(caught.value)
    assert why in said and f"`pip install -U {wheel}`" in said and "\n" not in said
    with make(beton) as loader:
        assert len(list(loader)) == 4


@pytest.mark.dali
def test_what_is_installed_is_not_missing() -> None:
    assert dali_missing() is None
