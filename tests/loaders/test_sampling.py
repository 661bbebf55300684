"""Which samples an epoch shows: indices that come again, and stand-ins of samples that cannot be decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders import LoaderError
from tests.contract import make


@pytest.mark.parametrize("shuffle", [True, False, "quasi"])
def test_a_sample_named_twice_has_crops_of_its_own(beton: Path, shuffle: bool | str) -> None:
    def crops_of(indices: list[int]) -> list[tuple[int, ...]]:
        with make(beton, indices=indices, shuffle=shuffle, batch_size=len(indices), fields=("index", "crop")) as loader:
            ((found, crops),) = loader
        return sorted((int(k), *crop) for k, crop in zip(found, crops.tolist(), strict=True))

    repeated = crops_of([5, 7, 5, 9, 5, 7])
    assert [crop[0] for crop in repeated] == [5, 5, 5, 7, 7, 9] and len(set(repeated)) == 6
    assert set(crops_of([5, 7, 9])) <= set(repeated)


def test_samples_of_weight_0_are_no_stand_ins(dirty: Path) -> None:
    with make(dirty, fields=("index",), drop_last=False, batch_size=2) as loader:
        count = len(loader.source)
    bad = next(k for k in range(count) if not _readable(dirty, k))
    sound = [k for k in range(count) if _readable(dirty, k)][:2]
    weights = np.zeros(count)
    weights[[bad, *sound]] = 1
    with make(dirty, weights=weights, on_error="replace", fields=("index",), drop_last=False) as loader:
        seen = {int(k) for _ in range(5) for (indices,) in loader for k in indices}
        assert seen == set(sound) and loader.stats()["bad"]


def _readable(dirty: Path, index: int) -> bool:
    with make(dirty, indices=[index], batch_size=1) as loader:
        try:
            list(loader)
        except LoaderError:
            return False
        return True


@pytest.mark.parametrize("option", [{"views": 2}, {"aug_repeats": 2}])
def test_stand_ins_of_a_samples_copies_are_one_image(dirty: Path, option: dict[str, int]) -> None:
    seen: list[np.ndarray] = []

    def look(images: torch.Tensor, batch: Any) -> torch.Tensor:
        seen.append(batch.indices.copy())
        return images

    with make(dirty, on_error="replace", batch_size=8, transforms=[look], shuffle=False, **option) as loader:
        list(loader)
        assert loader.stats()["bad"]
    for indices in seen:
        pairs = indices.reshape(2, -1) if "views" in option else indices.reshape(-1, 2).T
        np.testing.assert_array_equal(*pairs)
