from __future__ import annotations

from typing import Any

import pytest

from efficienttrain.curriculum import GENERAL, Stage
from efficienttrain.training import Config
from efficienttrain.training.resolve import enlarged, identity, lay_steps, rate_and_origin, rate_factor, scaled, settle


def config(**options: Any) -> Config:
    return Config(**{"data": "d", "out": "o", "model": "resnet50", **options})


def test_what_is_given_takes_the_place_of_the_recipe() -> None:
    plain, changed = settle(config()), settle(config(mixup=0.0, optimizer="lamb", clip_grad=0.0, ema=0.5, lr=1.0))
    assert (plain.mixup, plain.optimizer, plain.ema) == (0.8, "adamw", None)
    assert (changed.mixup, changed.optimizer, changed.clip_grad, changed.ema, changed.lr) == (0.0, "lamb", None, 0.5, 1)
    assert changed.weight_decay == plain.weight_decay


def test_the_rate_follows_the_batch_unless_given() -> None:
    assert settle(config(batch=1024)).lr == pytest.approx(1e-3)
    assert settle(config(batch=1024, lr=2e-3)).lr == 2e-3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "0.004"),
        ({"batch": 4096}, "0.004"),
        ({"batch": 1024}, "0.001 = 0.004 x 1024/4096"),
        ({"batch": 1024, "lr": 2e-3}, "0.002"),
        ({"batch": 1024, "optimizer": "lamb"}, "0.002 = 0.004 x (1024/4096)^0.5"),
    ],
)
def test_the_rate_is_told_with_its_calculation(given: dict[str, Any], told: str) -> None:
    assert rate_and_origin(config(**given), settle(config(**given))) == told


def test_a_share_of_warm_up_takes_the_place_of_the_epochs() -> None:
    assert settle(config()).warmup_epochs == 20
    assert (settle(config(warmup=0.1)).warmup, settle(config(warmup=0.1)).warmup_epochs) == (0.1, None)
    assert settle(config(warmup_epochs=5.0)).warmup_epochs == 5


def test_every_detail_of_the_recipe_can_be_given() -> None:
    details = {
        "lr_schedule": "continuous", "warmup_epochs": 5.0, "min_lr": 1e-5, "weight_decay_end": 0.1,
        "betas": [0.9, 0.95], "momentum": 0.8, "eps": 1e-6, "head_dropout": 0.1, "zero_init_last": True,
        "mixup_prob": 0.5, "mixup_switch_prob": 0.2, "mixup_mode": "elem",
        "remode": "const", "recount": 2, "data_path": "published",
        "low_frequency": "fourier", "interpolation": "bilinear", "scale": [0.2, 1.0], "ratio": [1.0, 1.0], "hflip": 0.0,
        "crop_pct": 0.95, "mean": [0.5] * 3, "std": [0.5] * 3,
    }  # fmt: skip
    made = settle(config(**details))
    plain = settle(config())
    for name, value in details.items():
        assert getattr(made, name) == (tuple(value) if isinstance(value, list) else value) != getattr(plain, name)


@pytest.mark.parametrize(
    ("size", "multiple", "resolutions"),
    [(224, 2, [96, 160, 224]), (256, 32, [96, 192, 256]), (64, 2, [32, 46, 64]), (64, 8, [32, 48, 64])],
)
def test_the_curriculum_fits_another_size(size: int, multiple: int, resolutions: list[int]) -> None:
    stages = scaled(GENERAL, size, multiple)
    assert sorted({stage.resolution for stage in stages}) == resolutions
    assert [stage.magnitude for stage in stages] == list(range(10))


def test_a_budget_is_counted_at_full_size() -> None:
    asked = config(size=64, epochs=10, curriculum="none", batch=100)
    schedule = lay_steps(settle(asked), 64, samples=5000)
    assert schedule.total_steps == 10 * 50
    curriculum = lay_steps(settle(config(size=64, epochs=10, batch=100), multiple=8), 64, samples=5000)
    assert curriculum.steps[:3] == (200, 200, round(50 * (64 / 48) ** 2))


def test_early_batches_are_larger_and_their_rate_too() -> None:
    stages = enlarged((Stage(96, 0, 0.5), Stage(224, 9, 0.5)), 4096, 2.0, 224)
    assert [stage.batch for stage in stages] == [8192, None]
    for rule, factor in (("linear", 2.0), ("sqrt", 2**0.5)):
        asked = config(early_batch_scale=2.0, early_batch_rule=rule)
        assert [rate_factor(asked, stage) for stage in stages] == [factor, 1.0]
    whole = settle(config(early_batch_scale=2.0))
    plain = settle(config())
    large, small = (lay_steps(recipe, 224, 1281167).steps for recipe in (whole, plain))
    assert large[0] * 2 == pytest.approx(small[0], abs=1)  # the same compute in half the steps
    assert large[-1] == small[-1]


def test_replay_is_the_recipes_or_none() -> None:
    asked = {"curriculum": "replay", "replay_buffer": 7}
    assert [(s.replay, s.replay_buffer) for s in settle(config(**asked)).stages[::3]] == [
        (4, 7),
        (2, 7),
        (1, 0),
        (1, 0),
    ]
    assert {stage.replay for stage in settle(config(**asked, replay="off")).stages} == {1}


def test_a_batch_larger_than_the_data_is_said() -> None:
    with pytest.raises(ValueError, match=r"got 4096 for 1,000 images; give a smaller one, --batch 64 for example"):
        lay_steps(settle(config()), 224, 1000)


def test_identity_leaves_out_the_machine() -> None:
    one, other = config(), config(micro_batch=8, workers=3, log_every=1, compile=True)
    assert identity(one, settle(one), 10, 100) == identity(other, settle(other), 10, 100)
    longer = config(epochs=300)
    assert identity(one, settle(one), 10, 100) != identity(longer, settle(longer), 10, 100)
