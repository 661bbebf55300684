from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.evidence import train_window
from benchmarks.evidence.training import NETWORKS
from benchmarks.harness.contestant import Job
from loaders import convert


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch keeps the threads that the tests have; windows are short."""
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # noqa: ARG005
    monkeypatch.setattr("benchmarks.harness.contestant.LEAST_BATCHES", 1)
    monkeypatch.setattr(train_window, "SETTLING", 1)
    yield


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("loader", train_window.LOADERS)
def test_a_contestant_trains_on_what_its_loader_delivers(loader: str, jpeg_folder: Path, tmp_path: Path) -> None:
    if loader == "torchvision":
        pytest.importorskip("torchvision")
    pyramid, folder = str(tmp_path / "train.beton"), str(jpeg_folder / "train")
    convert(folder, pyramid, workers=1)
    fields = {"data": pyramid, "out": "", "model": f"{NETWORKS}:small_convnet", "size": 64, "batch": 8}
    options = {"loader": loader, "config": {**fields, "curriculum": "none", "device": "cpu"}}
    job = Job(loader, 48, 1, 8, folder, pyramid, str(tmp_path), options=options)
    stream = train_window.build(job)
    assert stream.output == "float32 8x3x48x48"
    images, seconds = stream.round(0.01)
    assert images >= 8 and seconds > 0


@pytest.mark.usefixtures("threads")
def test_every_batch_is_a_step_of_the_optimizer() -> None:
    class Noted:
        def __init__(self) -> None:
            self.done: list[object] = []

        def accumulate(self, batches: list[tuple[int, torch.Tensor, torch.Tensor]], count: int, step: int) -> None:
            self.done.append((len(batches), count, step))

        def update(self, rate: float) -> None:
            self.done.append(rate)

    class Recipe:
        lr = 0.5

    train_state, batch = Noted(), (torch.zeros(2, 3, 8, 8), torch.zeros(2))
    yielded = list(train_window._trained(train_state, Recipe(), iter([batch, batch])))  # type: ignore[arg-type]
    assert all(images is batch[0] for images in yielded)
    assert train_state.done == [(1, 1, 0), 0.5, (1, 1, 1), 0.5]
