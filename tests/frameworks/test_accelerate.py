"""A Loader through the real Accelerate: `prepare`, gradient accumulation, `skip_first_batches`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.frameworks.recorded import Network, epochs, make, text

accelerate = pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Accelerate's state is the process's."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def test_the_last_short_accumulation_steps(beton: Path) -> None:
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=3)
    network = Network()
    model, optimizer, loader = accelerator.prepare(network, torch.optim.SGD(network.parameters(), 0.1), make(beton))
    stepped, seen = [], []
    for _ in range(2):
        for images, labels, indices in loader:
            with accelerator.accumulate(model):
                accelerator.backward(F.cross_entropy(model(images), labels))
                optimizer.step()
                optimizer.zero_grad()
            stepped.append(accelerator.sync_gradients)
            seen.append(text(images, indices))
    assert stepped == [False, False, True, True] * 2  # 4 batches: three, then the last one alone
    assert seen == epochs(beton, 0, 1)
    assert not accelerator.gradient_state.in_dataloader


def test_a_break_leaves_no_loader_behind(beton: Path) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    for _ in accelerator.prepare(make(beton)):
        assert accelerator.gradient_state.in_dataloader
        break
    assert not accelerator.gradient_state.in_dataloader


@pytest.mark.parametrize("num_workers", [1, 2])
def test_skip_first_batches_gives_the_rest_of_the_epoch(beton: Path, num_workers: int) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    loader = accelerator.prepare(make(beton, num_workers=num_workers))
    list(loader)
    rest = accelerator.skip_first_batches(loader, 3)
    assert [text(images, indices) for images, _, indices in rest] == epochs(beton, 1)[3:]
    assert [text(images, indices) for images, _, indices in loader] == epochs(beton, 2)


@pytest.mark.parametrize("real", [False, True])
def test_the_end_of_skipped_epochs(beton: Path, real: bool) -> None:
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=3)
    network, loader = Network(), make(beton)
    model, prepared = accelerator.prepare(network, loader.as_dataloader() if real else loader)
    stepped, seen = [], []
    for images, _, indices in accelerator.skip_first_batches(prepared, 2):
        with accelerator.accumulate(model):
            stepped.append(accelerator.sync_gradients)
        seen.append(text(images, indices))
    assert seen == epochs(beton, 0)[2:]
    assert stepped == [False, real]  # as docs/loader.md says


def test_registered_for_checkpointing(beton: Path, tmp_path: Path) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    loader = make(beton)
    accelerator.register_for_checkpointing(loader)
    epoch = iter(loader)
    next(epoch)
    accelerator.save_state(str(tmp_path / "state"))
    rest = [text(images, indices) for images, _, indices in epoch]
    list(loader)
    accelerator.load_state(str(tmp_path / "state"))
    assert [text(images, indices) for images, _, indices in loader] == rest
