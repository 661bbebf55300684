from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from efficienttrain import Recipe, Stage, recipe
from efficienttrain.models.build import check_name
from efficienttrain.presets import ALIASES, FAMILIES, PUBLISHED, WITH_REPLAY, preset, provenance, runs

DEEP, WIDE = runs("512x2 256x4 128x4"), runs("512x6 256x4")
# Script's model: resolutions, micro-batches, drop path at 200, AMP, clipping, average, optimizer, rate, weight decay.
SCRIPTS: dict[str, tuple[Any, ...]] = {
    "resnet50": ("96x2 160x4 224x4", runs("512x10"), 0.0, False, None, None, "adamw", 4e-3, 0.05),
    "deit_small_patch16_224": ("96x2 160x4 192x2 224x2", WIDE, 0.1, True, 5.0, None, "adamw", 4e-3, 0.05),
    "swin_tiny": ("96x2 160x4 224x4", WIDE, 0.2, True, 5.0, None, "adamw", 4e-3, 0.05),
    "swin_small": ("96x2 160x4 224x4", DEEP, 0.3, True, 5.0, None, "adamw", 4e-3, 0.05),
    "swin_base": ("96x2 160x4 224x4", DEEP, 0.5, True, 5.0, None, "adamw", 4e-3, 0.05),
    "CSWin_64_12211_tiny_224": ("96x2 160x4 224x4", WIDE, 0.2, True, None, 0.9999, "adamw", 4e-3, 0.05),
    "CSWin_64_24322_small_224": ("96x2 160x4 224x4", DEEP, 0.4, True, None, 0.9999, "adamw", 4e-3, 0.05),
    "CSWin_96_24322_base_224": ("96x2 160x4 224x4", DEEP, 0.5, True, None, 0.9998, "lamb", 8e-3, 0.10),
    "convnext_tiny": ("160x6 224x4", runs("256x6 128x4"), 0.1, False, None, 0.9999, "adamw", 4e-3, 0.05),
    "convnext_small": ("160x6 224x4", runs("128x6 64x4"), 0.4, False, None, 0.9999, "adamw", 4e-3, 0.05),
    "convnext_base": ("160x6 224x4", runs("128x6 64x4"), 0.5, False, None, 0.9999, "adamw", 4e-3, 0.05),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_released_scripts(name: str) -> None:
    made = recipe(name, 200)
    resolutions, micro_batch, drop_path, *rest = SCRIPTS[name]
    assert [(stage.resolution, stage.magnitude) for stage in made.stages] == list(
        zip(runs(resolutions), range(10), strict=True)
    )
    assert [stage.compute for stage in made.stages] == pytest.approx([0.1] * 10)
    assert (made.micro_batch, made.drop_path) == (micro_batch, pytest.approx(drop_path))
    assert [made.amp, made.clip_grad, made.ema, made.optimizer, made.lr, made.weight_decay] == rest
    assert made.eps == (1e-6 if made.optimizer == "lamb" else 1e-8)
    assert (made.batch, made.min_lr, made.pace, made.epochs) == (4096, 1e-6, "compute", 200)
    assert (made.mixup, made.cutmix, made.smoothing, made.reprob) == (0.8, 1.0, 0.1, 0.25)


def test_drop_path_grows_with_the_budget_up_to_a_point() -> None:
    assert [recipe("swin_base", epochs).drop_path for epochs in (100, 300, 1000)] == pytest.approx([0.25, 0.75, 0.9])


def test_warm_up_is_twenty_epochs_of_the_first_stage_or_a_fifth() -> None:
    assert recipe("swin_tiny", 200).warmup == pytest.approx(20 / (200 * (224 / 96) ** 2))
    assert recipe("convnext_tiny", 200).warmup == pytest.approx(20 / (200 * (224 / 160) ** 2))
    assert recipe("swin_tiny", 200, "none").warmup == pytest.approx(0.1)
    assert recipe("deit_small", 200).warmup == 0.2  # all of B = 96
    assert recipe("swin_tiny", 2).warmup == 0.2


def test_every_preset_has_ten_tenths_and_every_alias_a_model() -> None:
    for family in FAMILIES:
        for found in (*family.sizes.values(), family.other):
            for text in (found.resolutions, found.micro_batch, *(found.replay or ())):
                assert len(runs(text)) == 10, family.pattern
    for name in (*ALIASES, *PUBLISHED):
        check_name(name)
    assert {name for name in PUBLISHED if preset(name).replay} == set(WITH_REPLAY)
    assert {preset(name).source for name in PUBLISHED} == {"script"}


@pytest.mark.parametrize(
    ("tagged", "bare"),
    [
        ("convnext_tiny.fb_in1k", "convnext_tiny"),
        ("resnet50.a1_in1k", "resnet50"),
        ("deit_small_patch16_224.fb_in1k", "deit_small"),
        ("swin_base_patch4_window7_224.ms_in22k_ft_in1k", "swin_base"),
        ("swin_base_patch4_window12_384.ms_in22k", "swin_base"),
        ("caformer_s36.sail_in1k", "caformer_s36"),
    ],
)
def test_a_tag_of_timms_changes_nothing(tagged: str, bare: str) -> None:
    for curriculum in ("auto", "iccv", "none"):
        assert replace(recipe(tagged, 200, curriculum), model="m") == replace(recipe(bare, 200, curriculum), model="m")
    check_name(tagged)


@pytest.mark.parametrize(
    ("model", "like", "drop_path"),
    [
        ("convnext_large", "convnext_base", 0.5),
        ("convnext_xlarge.fb_in22k", "convnext_base", 0.5),
        ("convnext_nano", "convnext_tiny", 0.1),
        ("cswin_large", "cswin_base", 0.5),
        ("CSWin_144_24322_large_224", "cswin_base", 0.5),
        ("deit_base_patch16_224", "deit_small", 0.1),
        ("deit_tiny", "deit_small", 0.1),
        ("vit_base_patch16_224.augreg_in1k", "deit_small", 0.1),
        ("swin_large_patch4_window12_384", "swin_base", 0.5),
        ("resnet101.tv_in1k", "resnet50", 0.0),
    ],
)
def test_a_size_without_a_script_gets_its_familys(model: str, like: str, drop_path: float) -> None:
    found, family = preset(model), preset(like)
    assert (found.source, found.drop_path) == ("family", drop_path) and found.guesses
    for name in ("resolutions", "optimizer", "lr", "weight_decay", "eps", "ema", "amp", "clip_grad", "warmup"):
        assert getattr(found, name) == getattr(family, name), name


@pytest.mark.parametrize(
    "name", ["resnet50d", "resnetv2_50", "convnextv2_tiny", "swinv2_tiny_window8_256", "deit3_small"]
)
def test_other_networks_of_a_like_name_are_no_family(name: str) -> None:
    assert preset(name).source == "general"


def test_caformer_and_pvt_are_reconstructed_from_their_authors_code() -> None:
    made = recipe("caformer_s36", 200)
    assert (made.optimizer, made.lr, made.head_dropout, made.drop_path) == ("lamb", 8e-3, 0.4, pytest.approx(0.3))
    assert made.clip_grad is None
    assert [preset(f"caformer_{size}").head_dropout for size in ("s18", "s36", "m36", "b36")] == [0, 0.4, 0.4, 0.5]
    assert [preset(f"pvt_{size}").clip_grad for size in ("tiny", "small", "medium", "large")] == [None, None, 1.0, 1.0]
    assert [preset(f"pvt_{size}").drop_path for size in ("tiny", "small", "medium", "large")] == [0.1, 0.1, 0.3, 0.3]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("swin_tiny", "released script _ET_pp_main_swinT.py; nothing is guessed"),
        ("convnext_large", "family's released script _ET_pp_main_convnextB.py; guessed: micro-batches"),
        ("pvt_small", "reconstructed, .*whai362/PVT.*guessed: curriculum"),
        ("my_package:build", "the general one .*guessed: all of it"),
    ],
)
def test_where_a_recipe_is_from_and_what_is_guessed(model: str, words: str) -> None:
    assert re.search(words, provenance(model))


def test_the_learning_rate_follows_the_batch() -> None:
    assert recipe("swin_tiny", 200).at_batch(256).lr == pytest.approx(4e-3 / 16)
    assert recipe("cswin_base", 200).at_batch(1024).lr == pytest.approx(8e-3 / 2)  # LAMB: the root


def test_replay_as_released() -> None:
    stages = recipe("deit_small", 200, "replay").stages
    assert [(stage.replay, stage.replay_buffer) for stage in stages] == [(4, 1920)] * 2 + [(2, 256)] * 4 + [(1, 0)] * 4
    stages = recipe("CSWin_64_12211_tiny_224", 200, "replay").stages
    assert [(stage.replay, stage.replay_buffer) for stage in stages] == [(2, 1024)] * 2 + [(1, 0)] * 8
    with pytest.raises(ValueError, match=r"released for resnet50, .* got swin_base; take"):
        recipe("swin_base", 200, "replay")


def test_the_curriculum_of_2023_counts_passes() -> None:
    made = recipe("cswin_base", 300, "iccv")
    assert [(stage.resolution, stage.magnitude) for stage in made.stages] == [
        (160, 1), (160, 3), (160, 5), (192, 7), (224, 9)
    ]  # fmt: skip
    assert made.schedule(10_000).passes == pytest.approx([60] * 5)
    assert made.epochs == pytest.approx(300 / 1.53, rel=2e-3)
    assert (made.optimizer, made.lr, made.weight_decay, made.pace) == ("adamw", 4e-3, 0.05, "passes")
    assert made.drop_path == 0.5


def test_the_baseline_is_one_stage_and_scales_nothing() -> None:
    made = recipe("swin_small", 300, "none")
    assert made.stages == (Stage(224, 9, 1.0),)
    assert made.drop_path == 0.3
    assert made.micro_batch == (128,)


@pytest.mark.parametrize(
    ("curriculum", "resolutions"),
    [
        ("general", "96x2 160x4 224x4"),
        ("linear", "96x2 128x2 160x2 192x2 224x2"),
        ("step", "128x5 224x5"),
    ],
)
def test_plain_curricula(curriculum: str, resolutions: str) -> None:
    stages = recipe("convnext_tiny", 200, curriculum).stages
    assert tuple(stage.resolution for stage in stages) == runs(resolutions)
    assert [stage.magnitude for stage in stages] == list(range(10))


def test_a_model_without_a_preset_gets_the_general_one() -> None:
    made = recipe("my_package:build", 200)
    assert tuple(stage.resolution for stage in made.stages) == runs("96x2 160x4 224x4")
    assert (made.drop_path, made.optimizer, made.lr) == (0.1, "adamw", 4e-3)
    assert recipe("caformer_m36", 200).drop_path == 0.4


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"optimizer": "adam"}, "`optimizer` must be one of adamw, lamb, sgd, got 'adam'"),
        ({"pace": "steps"}, "`pace`"),
        ({"lr": 0}, "`lr` must be more than 0, got 0"),
        ({"weight_decay": -1}, "`weight_decay`"),
        ({"drop_path": 1.0}, "`drop_path` must be from 0 to below 1, got 1.0"),
        ({"reprob": 2}, "`reprob`"),
        ({"clip_grad": 0}, "`clip_grad`"),
        ({"ema": 1.0}, "`ema`"),
        ({"lr_schedule": "cosine"}, "`lr_schedule` must be one of released, continuous, got 'cosine'"),
        ({"data_path": "slow"}, "`data_path`"),
        ({"warmup_epochs": -1}, "`warmup_epochs`"),
        ({"weight_decay_end": -1}, "`weight_decay_end`"),
        ({"betas": (0.9,)}, "`betas` must be two numbers"),
        ({"mixup_prob": 2}, "`mixup_prob`"),
        ({"head_dropout": 1.0}, "`head_dropout`"),
        ({"micro_batch": (1, 2)}, "each of the 1 stages"),
    ],
)
def test_a_value_out_of_range_is_refused(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        Recipe(**{"model": "m", "epochs": 1, "stages": (Stage(224, 9, 1.0),), **changes})


def test_an_unknown_curriculum_and_a_budget_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`curriculum` must be one of auto, replay, .* got 'fast'"):
        recipe("resnet50", 200, "fast")
    with pytest.raises(ValueError, match="`epochs` must be more than 0"):
        recipe("resnet50", 0)
