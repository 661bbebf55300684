"""Many small random curricula, resumed at every batch: the samples are those of the uninterrupted training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from efficienttrain import Stage
from efficienttrain.callbacks import Curriculum
from loaders import Loader, open_dataset
from loaders.batch import Batch
from loaders.plan import SAMPLE
from loaders.plugins import BACKENDS
from tests.efficienttrain.callbacks.setting import short


class Undecoded:
    """A backend that delivers the samples' indices at once, without pixels."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def run(self, stage: Any, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
        for keys in batches:
            nothing = torch.empty(len(keys), 0)
            yield Batch(nothing, nothing, keys, 0, epoch, stage.resolution, None, np.zeros(len(keys), SAMPLE))

    def stats(self) -> dict[str, int]:
        return {}

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "undecoded", Undecoded)


def seen(curriculum: Curriculum) -> list[tuple[int, list[int]]]:
    """Stage and samples of each batch that is left."""
    found = []
    for _ in range(curriculum.epochs):
        for (indices,) in curriculum:
            found.append((curriculum.stage, indices.tolist()))
    return found


@pytest.mark.parametrize("case", range(40))
def test_resuming_at_every_batch(jpeg_folder: Path, case: int) -> None:
    draw = random.Random(case)
    ranks, accumulation = draw.choice([1, 1, 2, 3]), draw.choice([1, 1, 2])
    samples, together = draw.randint(max(10, ranks * accumulation), 24), ranks * accumulation
    most = samples // together
    parts = [draw.randint(1, 9) for _ in range(draw.randint(1, 4))]
    batches = [draw.choice([None, together * draw.randint(1, most)]) for _ in parts]
    stages = tuple(
        Stage(draw.choice([112, 160, 224]), None, part / sum(parts), batch)
        for part, batch in zip(parts, batches, strict=True)
    )
    options: dict[str, Any] = {
        "batch_size": draw.randint(1, most), "indices": draw.sample(range(24), samples), "world_size": ranks,
        "drop_last": draw.choice([True, False]), "uneven": draw.choice(["drop", "pad", "keep"]),
    }  # fmt: skip
    epochs, data = draw.choice([1.4, 2.3]), open_dataset(jpeg_folder / "train")

    def begun(rank: int) -> Curriculum:
        loader = Loader(data, fields=("index",), backend="undecoded", rank=rank, **options)
        return Curriculum(short(epochs, stages), loader, accumulation=accumulation)

    for rank in range(ranks):
        curriculum = begun(rank)
        wanted = seen(curriculum)
        assert len(wanted) == curriculum.total
        for at in range(len(wanted) + 1):
            resumed = begun(rank)
            resumed.load_state_dict({"batch": at, "total": curriculum.total})
            assert seen(resumed) == wanted[at:], (stages, options, at)
            curriculum.seek(at)  # and within the same loader
            assert seen(curriculum) == wanted[at:], (stages, options, at)
