"""Files by URL: read on after a failure, found by patterns, at the root of a store."""

from __future__ import annotations

import numpy as np
import pytest

from loaders import LoaderError
from loaders.plugins import STORES
from loaders.storage import files, store, transfer
from tests.loaders.storage.server import Served


def test_a_file_is_read_on_after_a_failure(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setattr(transfer, "DEADLINE", 0.2)
    data = bytes(np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8))
    (served.root / "x.bin").write_bytes(data)
    with files.connections(), files.open_file(f"{served.url}/x.bin") as file:
        assert file.read(1000) == data[:1000]
        file.seek(200_000)
        served.failing = 1 << 30
        with pytest.raises(LoaderError, match=r"x\.bin \(bytes .* failed"):
            file.read(1000)
        served.failing = 0
        assert file.read(1000) == data[200_000:201_000]
        file.seek(500_000)
        assert file.read(300_000) == data[500_000:800_000]


def test_a_pattern_stays_in_its_folder() -> None:
    names = ["a/train-0.beton", "a/train-old/x.beton", "a/train-1.beton", "train-2.beton"]
    assert [name for name in names if store._matches(name, "a/train-*.beton")] == ["a/train-0.beton", "a/train-1.beton"]


def test_the_first_url_of_a_store_may_be_its_root(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Rooted:
        def __init__(self, url: str) -> None:
            assert url == "rooted://bucket"

        def children(self, folder: str) -> tuple[list[str], list[str]]:
            asked.append(folder)
            return ["a"], []

    monkeypatch.setitem(STORES, "rooted", Rooted)
    with files.connections():
        for url in ("rooted://bucket", "rooted://bucket/a"):
            files.children(url)
    assert asked == ["", "a"]
