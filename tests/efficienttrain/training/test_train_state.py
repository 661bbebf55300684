from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from efficienttrain.curriculum import BASELINE
from efficienttrain.recipe import Recipe
from efficienttrain.training.distributed import Ranks
from efficienttrain.training.objective import Classes
from efficienttrain.training.optim import make_optimizer
from efficienttrain.training.seeding import key_step, key_weights
from efficienttrain.training.train_state import TrainState
from tests.efficienttrain.training.networks import positioned, still

ALONE = Ranks(0, 1, torch.device("cpu"))
THREE = Classes("label", ("a", "b", "c"), 3)
RECIPE = Recipe("net", 1.0, BASELINE, lr=0.1, mixup=0.0, cutmix=0.0, smoothing=0.0, optimizer="sgd", weight_decay=0.0)


def train_state(recipe: Recipe = RECIPE, precision: str = "off") -> TrainState:
    key_weights(0)
    return TrainState(still(3), recipe, ALONE, objective=THREE, seed=0, precision=precision)


def batch(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.linspace(-1, 1, size * 3 * 32 * 32).view(size, 3, 32, 32), torch.arange(size) % 3


def test_micro_batches_add_up_to_the_batch() -> None:
    images, labels = batch()
    whole, parts = train_state(), train_state()
    loss = whole.accumulate([(0, images, labels)], 1, step=0)
    pieces = zip(range(4), images.split(2), labels.split(2), strict=True)
    assert parts.accumulate(pieces, 4, step=0) == pytest.approx(loss.item(), abs=1e-6)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)  # type: ignore[arg-type]


def test_the_gradient_is_clipped() -> None:
    images, labels = batch()
    clipped = train_state(replace(RECIPE, clip_grad=1e-3))
    before = [parameter.detach().clone() for parameter in clipped.model.parameters()]
    clipped.accumulate([(0, images, labels)], 1, step=0)
    clipped.update(1.0)
    after = [parameter.detach() for parameter in clipped.model.parameters()]
    moved = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(before, after, strict=True)))
    assert moved == pytest.approx(1.9e-3, rel=0.01)  # Nesterov's first step: 1 + 0.9 times the clipped gradient


def test_weight_decay_changes_where_there_is_any() -> None:
    decayed = train_state(replace(RECIPE, optimizer="adamw", weight_decay=0.05, betas=(0.8, 0.9)))
    decayed.decay(0.01)
    assert sorted(group["weight_decay"] for group in decayed.optimizer.param_groups) == [0.0, 0.01]
    assert {group["betas"] for group in decayed.optimizer.param_groups} == {(0.8, 0.9)}


def test_the_average_follows_slowly() -> None:
    averaged = train_state(replace(RECIPE, ema=0.75))
    assert averaged.ema is not None
    start = averaged.model.head.weight.detach().clone()  # type: ignore[union-attr, operator]
    averaged.accumulate([(0, *batch())], 1, step=0)
    averaged.update(0.1)
    wanted = 0.75 * start + 0.25 * averaged.model.head.weight.detach()  # type: ignore[union-attr, operator]
    assert torch.allclose(averaged.ema.module.head.weight, wanted, atol=1e-7)


def test_mixed_precision_trains() -> None:
    plain, mixed = train_state(), train_state(precision="bf16")
    losses = [one.accumulate([(0, *batch())], 1, step=0).item() for one in (plain, mixed)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)
    assert next(mixed.model.parameters()).grad.dtype == torch.float32  # type: ignore[union-attr]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_loss_scaling_on_a_gpu(precision: str) -> None:
    ranks = Ranks(0, 1, torch.device("cuda"))
    one = TrainState(still(3).cuda(), RECIPE, ranks, objective=THREE, seed=0, precision=precision, channels_last=True)
    images, labels = batch()
    first = one.accumulate([(0, images.cuda().half(), labels.cuda())], 1, step=0)
    for step in range(20):
        loss = one.accumulate([(0, images.cuda().half(), labels.cuda())], 1, step=step)
        one.update(0.1)
    assert loss < first


def test_noise_is_keyed_by_step_and_group() -> None:
    def noise(seed: int, step: int, group: int) -> list[float]:
        key_step(seed, step, group)
        return nn.functional.dropout(torch.ones(64), 0.5).tolist()

    assert noise(1, 2, 3) == noise(1, 2, 3)
    keys = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 3, 2)]
    made = [noise(*key) for key in keys]
    assert all(a != b for i, a in enumerate(made) for b in made[:i])


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("lamb", "Lamb"), ("sgd", "SGD")])
def test_what_is_not_to_decay_does_not(name: str, kind: str) -> None:
    model = positioned(3, 32)
    optimizer = make_optimizer(model, replace(RECIPE, optimizer=name, weight_decay=0.05, eps=1e-7))
    assert type(optimizer).__name__ == kind
    decayed, bare = optimizer.param_groups
    assert (decayed["weight_decay"], bare["weight_decay"]) == (0.05, 0.0)
    wanted = [dict(model.named_parameters())[name] for name in ("stem.weight", "head.weight", "pos_embed")]
    assert {id(parameter) for parameter in decayed["params"]} == {id(parameter) for parameter in wanted}
    assert len(decayed["params"]) + len(bare["params"]) == len(list(model.parameters()))
    assert name == "sgd" or decayed["eps"] == 1e-7
