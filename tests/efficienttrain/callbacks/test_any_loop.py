from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from efficienttrain import Stage
from efficienttrain.callbacks import Curriculum
from tests.efficienttrain.callbacks.setting import STAGES, convolution, opened, positioned, short

Seen = list[tuple[int, tuple[int, ...], float]]


def trained(curriculum: Curriculum, batches: int | None = None) -> tuple[Seen, list[torch.Tensor]]:
    """A plain loop, of so many batches or to the end: labels' sum, shape and rate of each batch, and the losses."""
    seen: Seen = []
    losses: list[torch.Tensor] = []
    assert curriculum.model is not None and curriculum.optimizer is not None
    while len(seen) < (curriculum.total if batches is None else batches):
        for images, labels in curriculum:
            loss = F.cross_entropy(curriculum.model(images), labels)
            loss.backward()
            curriculum.optimizer.step()
            curriculum.optimizer.zero_grad()
            seen.append((int(labels.sum()), tuple(images.shape), curriculum.optimizer.param_groups[0]["lr"]))
            losses.append(loss.detach())
            if len(seen) == batches:
                break
    return seen, losses


def made(photos: Path, **options: Any) -> Curriculum:
    network = positioned()
    return Curriculum(short(), opened(photos), network, AdamW(network.parameters(), 1e-2), size=64, **options)


def test_each_stage_has_its_share_of_the_compute(jpeg_folder: Path) -> None:
    curriculum = made(jpeg_folder)
    seen, losses = trained(curriculum)
    sides = [shape[2] for _, shape, _ in seen]
    assert sides == sorted(sides) and set(sides) == {32, 48, 64}
    spent = {side: sides.count(side) * side**2 for side in set(sides)}
    for stage, side in zip(STAGES, (32, 48, 64), strict=True):
        assert spent[side] / sum(spent.values()) == pytest.approx(stage.compute, abs=0.02)
    assert sum(spent.values()) / 64**2 == pytest.approx(3 * 24 / 4, rel=0.05)  # 3 epochs of 6 batches at full size
    assert len(seen) == curriculum.total == 3 * len(curriculum)
    assert all(torch.isfinite(loss) for loss in losses)
    assert list(curriculum) == []  # the training is over


def test_the_rate_follows_the_compute_from_the_optimizers_own_peak(jpeg_folder: Path) -> None:
    rates = [rate for *_, rate in trained(made(jpeg_folder))[0]]
    assert rates[0] == 0 and max(rates) == pytest.approx(1e-2, rel=1e-3)
    assert rates[-1] < 2e-4


def test_groups_keep_their_ratio(jpeg_folder: Path) -> None:
    network = positioned()
    groups = [{"params": [network.pos_embed], "lr": 0.5}, {"params": network.head.parameters(), "lr_scale": 0.1}]
    optimizer = SGD(groups, 0.2)
    curriculum = Curriculum(short(), opened(jpeg_folder), network, optimizer, size=64)
    trained(curriculum, 5)
    one, two = (group["lr"] for group in optimizer.param_groups)
    assert one / two == pytest.approx(0.5 / (0.2 * 0.1)) and one > 0


def test_a_scheduler_of_ones_own(jpeg_folder: Path) -> None:
    curriculum = made(jpeg_folder, set_lr=False)
    assert curriculum.optimizer is not None
    scheduler = LambdaLR(curriculum.optimizer, curriculum.lr_factor)
    theirs = []
    for _ in range(curriculum.epochs):
        for _batch in curriculum:
            curriculum.optimizer.step()
            scheduler.step()
            theirs.append(scheduler.get_last_lr()[0])
    ours = [rate for *_, rate in trained(made(jpeg_folder))[0]]
    assert theirs[:-1] == ours[1:]  # a scheduler sets the rate of the next step


def test_moments_and_average_follow(jpeg_folder: Path) -> None:
    network, average = positioned(), positioned()
    optimizer = AdamW(network.parameters(), 1e-2)
    curriculum = Curriculum(short(), opened(jpeg_folder), network, optimizer, ema=average, size=64)
    trained(curriculum)
    assert network.pos_embed.shape == average.pos_embed.shape == (1, 64, 12)
    assert optimizer.state[network.pos_embed]["exp_avg"].shape == (1, 64, 12)


def test_a_network_inside_another_module_follows(jpeg_folder: Path) -> None:
    network = nn.Sequential(positioned())
    average = AveragedModel(network)
    optimizer = AdamW(network.parameters(), 1e-2)
    curriculum = Curriculum(short(), opened(jpeg_folder), network, optimizer, ema=average, size=64)
    assert curriculum.model is network
    seen, _ = trained(curriculum)
    assert {shape[2] for _, shape, _ in seen} == {32, 48, 64}
    average.update_parameters(network)
    assert network[0].pos_embed.shape == average.module[0].pos_embed.shape == (1, 64, 12)
    two = nn.ModuleList([positioned(), positioned()])
    with pytest.raises(ValueError, match="`model` must contain one network that can be resized, got 2 in ModuleList"):
        Curriculum(short(), opened(jpeg_folder), two, size=64)


@pytest.mark.parametrize("stop", [14, 20])
def test_resuming_anywhere_gives_the_same_training(jpeg_folder: Path, stop: int) -> None:
    whole, losses = trained(made(jpeg_folder))
    average, fresh_average = positioned(), positioned()
    curriculum = made(jpeg_folder, ema=average)
    trained(curriculum, stop)
    assert curriculum.model is not None and curriculum.optimizer is not None
    saved = curriculum.model.state_dict(), curriculum.optimizer.state_dict(), curriculum.state_dict()
    fresh = made(jpeg_folder, ema=fresh_average)
    assert fresh.model is not None and fresh.optimizer is not None
    fresh.model.load_state_dict(saved[0])  # of another size than this one's
    fresh_average.load_state_dict(average.state_dict())
    fresh.optimizer.load_state_dict(saved[1])
    fresh.load_state_dict(saved[2])
    rest, after = trained(fresh, curriculum.total - stop)
    assert rest == whole[stop:]
    assert torch.equal(torch.stack(after), torch.stack(losses[stop:]))


def test_stages_change_between_steps_where_batches_are_accumulated(jpeg_folder: Path) -> None:
    curriculum = made(jpeg_folder, accumulation=3)
    sides = [shape[2] for _, shape, _ in trained(curriculum)[0]]
    for step in range(0, len(sides), 3):
        assert len(set(sides[step : step + 3])) == 1
    assert len(sides) % (3 * curriculum.epochs) == 0


def test_a_stages_own_batch(jpeg_folder: Path) -> None:
    stages = (Stage(112, None, 0.5, batch=12), Stage(224, None, 0.5))
    network = positioned()
    curriculum = Curriculum(short(stages=stages), opened(jpeg_folder), network, SGD(network.parameters()), size=64)
    first = next(iter(curriculum))[0]
    assert curriculum.batch_size == len(first) == 12 and len(curriculum.dataset) == 24  # frameworks read both
    curriculum.seek(0)
    shapes = {shape for _, shape, _ in trained(curriculum)[0]}
    assert shapes == {(12, 3, 32, 32), (4, 3, 64, 64)} and curriculum.batch_size == 4
    curriculum.seek(curriculum.total - 1)
    assert trained(curriculum, 1)[0][0][1] == (4, 3, 64, 64)


def test_a_wrapper_is_made_anew_where_shapes_change(jpeg_folder: Path) -> None:
    made_at = []

    def wrap(network: nn.Module) -> nn.Module:
        made_at.append(network.pos_embed.shape[1])
        return nn.Sequential(network)

    curriculum = made(jpeg_folder, wrap=wrap)
    assert isinstance(curriculum.model, nn.Sequential)
    for _ in range(curriculum.epochs):
        for images, _labels in curriculum:
            curriculum.model(images)
    assert made_at == [16, 36, 64]


def test_evaluation_follows_the_stage(jpeg_folder: Path) -> None:
    val = opened(jpeg_folder, part="val")
    curriculum = made(jpeg_folder, val=val)
    assert val.stage.resolution == 32
    for _ in range(curriculum.epochs):
        for images, _ in curriculum:
            assert val.stage.resolution == images.shape[-1]
    assert val.stage.resolution == 64


def test_a_convnet_needs_no_resizing(jpeg_folder: Path) -> None:
    network = convolution()
    curriculum = Curriculum(short(), opened(jpeg_folder), network, SGD(network.parameters()), size=64)
    assert len(trained(curriculum)[0]) == curriculum.total


def test_wrong_wishes(jpeg_folder: Path) -> None:
    with pytest.raises(ValueError, match="`accumulation` must be at least 1, got 0"):
        made(jpeg_folder, accumulation=0)
    with pytest.raises(ValueError, match="must take at most the number of training images, got 40 for 24 images"):
        Curriculum(short(), opened(jpeg_folder), accumulation=10, size=64)
    with pytest.raises(ValueError, match="`batch` must be from 0 to 33, got 34"):
        made(jpeg_folder).seek(34)
    with pytest.raises(ValueError, match="a training of 7 batches, this one has 33"):
        made(jpeg_folder).load_state_dict({"batch": 1, "total": 7})
    with pytest.raises(ValueError, match="resized on 2 ranks needs its callback before the framework wraps it"):
        made(jpeg_folder).check_framework(1, 2, "steps")
    with pytest.raises(ValueError, match="must be the bare network, got DistributedDataParallel"):
        Curriculum(short(), opened(jpeg_folder), object.__new__(DistributedDataParallel), size=64)
