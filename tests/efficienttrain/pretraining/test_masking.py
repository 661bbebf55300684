from __future__ import annotations

from typing import Any

import pytest

from efficienttrain.pretraining.masking import Masking, authors
from efficienttrain.training import Config


def config(**options: Any) -> Config:
    return Config(data="photos", model="vit_base_patch16_224", out="run", **options)


@pytest.mark.parametrize(
    ("options", "rate", "warmup"),
    [
        ({"epochs": 1600}, 2.4e-3, 0.025),
        ({"epochs": 400, "batch": 256}, 1.5e-4, 0.1),
        ({"epochs": 20, "lr": 1.0}, 1.0, 0.2),
    ],
)
def test_the_authors_recipe(options: dict[str, Any], rate: float, warmup: float) -> None:
    made = authors(config(**options))
    assert (made.lr, made.warmup, made.weight_decay) == pytest.approx((rate, warmup, 0.05))
    assert made.curriculum == "general" and authors(config(curriculum="iccv")).curriculum == "iccv"
    assert (made.betas, made.scale) == ((0.9, 0.95), (0.2, 1.0))
    assert (made.optimizer, made.drop_path, made.mixup, made.reprob) == ("adamw", 0, 0, 0)


def test_the_shown_patches_are_rounded_down_as_in_the_authors_code() -> None:
    assert [Masking().visible(patches) for patches in (196, 100, 49, 3)] == [49, 25, 12, 1]
    assert Masking(ratio=0.7).visible(49) == 14  # 14.7


def test_what_labels_are_needed_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`mixup` has no effect in pre-training, got 0.8; leave it out"):
        authors(config(mixup=0.8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "edges"}, "`target` must be one of pixels, hog, got 'edges'"),
        ({"ratio": 1.0}, "`ratio` must be a share, more than 0 and less than 1, got 1.0"),
    ],
)
def test_a_wrong_wish_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Masking(**options)


@pytest.mark.parametrize(("patches", "shown"), [(196, 49), (100, 25), (36, 9), (1, 1)])
def test_a_quarter_is_visible(patches: int, shown: int) -> None:
    assert Masking().visible(patches) == shown
