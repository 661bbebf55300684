"""The backend that chooses: what it measures, how often, and that nothing optional can break it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loaders.backends import BackendOptions, auto
from loaders.backends.auto import AutoBackend
from loaders.batch import Batch, BatchPlan
from loaders.errors import BadSample, LoaderError
from loaders.plan import SAMPLE
from loaders.stage import Stage
from loaders.transforms.pipeline import OutputFormat, TransformPipeline
from tests.contract import digest, make

STAGE = Stage(resolution=16, magnitude=None, batch_size=2)
BATCHES = [np.arange(k, k + 2) for k in (0, 2, 4)]


class Fake:
    """Delivers a batch every `pause` seconds; one of `pause` None raises."""

    def __init__(self, pause: float | None) -> None:
        self.pause, self.batches, self.closed = pause, 0, False
        self.bad: dict[int, BadSample] = {}

    def run(self, stage: Stage, epoch: int, batches: list[Any]) -> Iterator[Batch]:  # noqa: ARG002
        for batch in batches:
            if self.pause is None:
                raise RuntimeError("no GPU memory")
            time.sleep(self.pause)
            self.batches += 1
            plan = BatchPlan(OutputFormat.pixels(16), epoch, batch, batch, np.zeros(len(batch), SAMPLE))
            yield plan.decoded(torch.zeros(len(batch), 3, 16, 16), torch.from_numpy(batch), 0)

    def stats(self) -> dict[str, int]:
        return {"samples": self.batches}

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "SECONDS", 0.05)


def choosing(monkeypatch: pytest.MonkeyPatch, **made: Callable[[], Fake]) -> AutoBackend:
    monkeypatch.setattr(auto, "candidates", lambda *_: made)
    pipeline = TransformPipeline(dtype="uint8", mean=(0.5,) * 3, std=(0.5,) * 3, device=torch.device("cpu"), seed=0)
    return AutoBackend(None, pipeline, BackendOptions(train=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(("torchs", "dalis", "chosen"), [(0.002, 0.01, "torch"), (0.01, 0.002, "dali")])
def test_the_faster_one_is_chosen(monkeypatch: pytest.MonkeyPatch, torchs: float, dalis: float, chosen: str) -> None:
    backend = choosing(monkeypatch, torch=lambda: Fake(torchs), dali=lambda: Fake(dalis))
    got = list(backend.run(STAGE, 0, BATCHES))
    assert backend.chosen == chosen
    assert [batch.labels.tolist() for batch in got] == [[0, 1], [2, 3], [4, 5]]


def test_it_decides_once_and_closes_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Fake(0.001), Fake(0.01)]
    backend = choosing(monkeypatch, torch=lambda: made[0], dali=lambda: made[1])
    assert backend.chosen is None and backend.stats() == {}
    list(backend.run(STAGE, 0, BATCHES))
    before = made[1].batches
    assert before > 0 and made[1].closed and not made[0].closed
    list(backend.run(Stage(resolution=32, magnitude=None, batch_size=2), 1, BATCHES))
    assert made[1].batches == before
    assert backend.stats() == {"samples": made[0].batches}


def test_all_ranks_take_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"torch": 1.0, "dali": 0.0}  # DALI fails on another rank
    monkeypatch.setattr(auto, "_of_all_ranks", lambda rates: [rates, others])
    backend = choosing(monkeypatch, torch=lambda: Fake(0.01), dali=lambda: Fake(0.001))
    list(backend.run(STAGE, 0, BATCHES))
    assert backend.chosen == "torch"


def test_the_ranks_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(auto, "_of_all_ranks", lambda rates: (asked.append(list(rates)), [rates])[1])
    list(choosing(monkeypatch, torch=lambda: Fake(0.01), dali=lambda: Fake(0.001)).run(STAGE, 0, BATCHES))
    assert asked == [["torch", "dali"]]
    list(choosing(monkeypatch, torch=lambda: Fake(0.01)).run(STAGE, 0, BATCHES))  # as for evaluation on one rank alone
    assert len(asked) == 1


def test_a_state_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoBackend, "_fastest", lambda *_: pytest.fail("it is decided"))
    backend = choosing(monkeypatch, torch=lambda: Fake(0.001), dali=lambda: Fake(0.001))
    backend.decide("dali")
    backend.decide("dali")
    assert len(list(backend.run(STAGE, 0, BATCHES))) == 3 and backend.chosen == "dali"
    with pytest.raises(LoaderError, match='chosen "torch", and this loader has dali; make the loader with `backend="t'):
        backend.decide("torch")
    with pytest.raises(LoaderError, match="this loader has torch and dali"):
        choosing(monkeypatch, torch=lambda: Fake(0.001), dali=lambda: Fake(0.001)).decide("ffcv")


def unmakeable() -> Fake:
    raise LoaderError("this DALI does not start")


@pytest.mark.parametrize("made", [unmakeable, lambda: Fake(None)])
def test_what_is_broken_is_not_chosen(monkeypatch: pytest.MonkeyPatch, made: Callable[[], Fake]) -> None:
    backend = choosing(monkeypatch, torch=lambda: Fake(0.001), dali=made)
    assert len(list(backend.run(STAGE, 0, BATCHES))) == 3 and backend.chosen == "torch"


def test_where_torch_fails_too_its_error_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = choosing(monkeypatch, torch=lambda: Fake(None), dali=lambda: Fake(None))
    with pytest.raises(RuntimeError, match="no GPU memory"):
        list(backend.run(STAGE, 0, BATCHES))


def test_bad_samples_are_the_chosen_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Fake(0.001), Fake(0.02)
    backend = choosing(monkeypatch, torch=lambda: one, dali=lambda: other)
    list(backend.run(STAGE, 0, BATCHES))
    one.bad[3], other.bad[5] = BadSample(3, "c", "short"), BadSample(5, "e", "short")
    assert sorted(backend.bad) == [3]


def test_on_the_cpu_it_is_torch_at_once(beton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoBackend, "_fastest", lambda *_: pytest.fail("nothing is measured on the CPU"))
    with make(beton, backend="auto") as loader, make(beton, backend="torch") as torchs:
        assert digest(list(loader)) == digest(list(torchs))
