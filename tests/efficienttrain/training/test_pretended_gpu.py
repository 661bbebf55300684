"""Training steps on a GPU that is pretended: no mixed devices, no wait, and the same launches for every step.

Torch's autograd engine needs a real driver; `backward` is a stub here that makes gradients of the parameters' shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from efficienttrain.curriculum import Stage
from efficienttrain.pretraining.mae import MaskedAutoencoder
from efficienttrain.pretraining.masked_train_state import MaskedTrainState
from efficienttrain.pretraining.masking import Masking
from efficienttrain.pretraining.targets import Pixels
from efficienttrain.recipe import Recipe
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.objective import Classes
from efficienttrain.training.train_state import TrainState
from tests.efficienttrain.pretraining.networks import vit
from tests.efficienttrain.training.networks import tiny
from tests.pretend import Count, moved, pretending

pytest.importorskip("timm")
FIVE = Classes("label", tuple("abcde"), 5)
STAGES = (Stage(resolution=32, magnitude=None, compute=1.0),)


def recipe(**options: Any) -> Recipe:
    return Recipe(model="tiny", epochs=1, stages=STAGES, batch=8, clip_grad=1.0, **options)


def batches(count: int) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    for group in range(count):
        yield group, torch.empty((8, 3, 32, 32), device="cuda"), torch.zeros(8, dtype=torch.int64, device="cuda")


def step(train_state: TrainState, count: Count, number: int) -> int:
    """Takes a step of two micro-batches and returns its launches."""

    def backward(_: torch.Tensor) -> None:
        for parameter in train_state.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)

    for counter in (count.launches, count.copies, count.waits):
        counter.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", backward)
        loss = train_state.accumulate(batches(2), 2, number)
    train_state.update(1e-3)
    assert loss.device.type == "cuda"
    return count.total


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_steps_wait_for_nothing(optimizer: str) -> None:
    from timm.utils import ModelEmaV3

    network = tiny(5)
    average = ModelEmaV3(network, decay=0.9)  # copies the network, which cannot be pretended
    with pretending() as count:
        model = moved(network)
        ranks = Ranks(0, 1, torch.device("cuda"))
        train_state = TrainState(
            model, recipe(optimizer=optimizer), ranks, objective=FIVE, seed=0, precision="bf16", channels_last=True
        )
        moved(average.module)
        train_state.ema = average
        launches = [step(train_state, count, number) for number in range(3)]
        assert not +count.waits and not count.copies["pageable"], (count.waits, count.copies)
        assert launches[1] == launches[2] > 0
        assert count.launches["triton targets"] == 2 and count.launches["triton mix"] == 2


def test_masked_pre_training_waits_for_nothing() -> None:
    target = Pixels(8)
    network = MaskedAutoencoder(vit(1, 32), 3 * 8 * 8, 32)
    with pretending() as count:
        model = moved(network)
        ranks = Ranks(0, 1, torch.device("cuda"))
        train_state = MaskedTrainState(
            model,
            recipe(optimizer="adamw", mixup=0.0, cutmix=0.0),
            ranks,
            masking=Masking(),
            target=target,
            seed=0,
            precision="bf16",
            channels_last=False,
        )
        launches = [step(train_state, count, number) for number in range(3)]
        assert not +count.waits and not count.copies["pageable"], (count.waits, count.copies)
        assert launches[1] == launches[2] > 0
