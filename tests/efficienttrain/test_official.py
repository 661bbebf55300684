"""The tables of the released scripts at 200 epochs on ImageNet-1K, to the epoch."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from efficienttrain import recipe
from efficienttrain.official import OfficialStage, official
from efficienttrain.presets import PUBLISHED, WITH_REPLAY

IMAGENET, BATCH = 1_281_167, 4096


def counted(model: str, epochs: int = 200, curriculum: str = "auto") -> tuple[OfficialStage, ...]:
    made = recipe(model, epochs, curriculum)
    return official(made.stages, epochs, made.pace)


@pytest.mark.parametrize(
    ("model", "curriculum", "passes", "equivalent", "steps", "loaded"),
    [
        ("resnet50", "auto", 454, 200.0, 141_648, 454),
        ("swin_tiny", "auto", 454, 200.0, 141_648, 454),
        ("CSWin_96_24322_base_224", "auto", 454, 200.0, 141_648, 454),
        ("deit_small", "auto", 469, 200.6, 146_328, 469),
        ("convnext_base", "auto", 315, 199.9, 98_280, 315),
        ("resnet50", "replay", 453, 200.3, 141_576, 213),
        ("deit_small", "replay", 468, 200.7, 146_256, 228),
        ("swin_tiny", "replay", 453, 199.8, 141_444, 345),
    ],
)
def test_totals(model: str, curriculum: str, passes: int, equivalent: float, steps: int, loaded: int) -> None:
    stages = counted(model, 200, curriculum)
    assert sum(stage.passes for stage in stages) == passes
    assert sum(stage.equivalent for stage in stages) == pytest.approx(equivalent, abs=0.05)
    assert sum(stage.steps(IMAGENET, BATCH) for stage in stages) == steps
    assert sum(stage.loaded for stage in stages) == loaded


@pytest.mark.parametrize(("epochs", "passes"), [(100, 226), (150, 340), (200, 454), (300, 681)])
def test_other_budgets(epochs: int, passes: int) -> None:
    assert sum(stage.passes for stage in counted("caformer_s18", epochs)) == passes


def test_each_stage_of_the_worked_example() -> None:
    stages = counted("swin_tiny")
    assert [stage.whole for stage in stages] == [1088] * 2 + [392] * 4 + [200] * 4
    assert [(stage.begin, stage.end) for stage in stages] == [
        (0, 108), (108, 217), (78, 117), (117, 156), (156, 196), (196, 235),
        (120, 140), (140, 160), (160, 180), (180, 200),
    ]  # fmt: skip


def test_2023_counts_equal_epochs() -> None:
    stages = counted("swin_tiny", 300, "iccv")
    assert [(stage.begin, stage.end) for stage in stages] == [(0, 60), (60, 120), (120, 180), (180, 240), (240, 300)]
    assert sum(stage.steps(IMAGENET, BATCH) for stage in stages) == 93_600
    assert sum(stage.equivalent for stage in stages) == pytest.approx(300 / 1.53, rel=2e-3)


SMALL, CONVNEXT = [96] * 2 + [160] * 4 + [224] * 4, [160] * 6 + [224] * 4
DEIT = [96] * 2 + [160] * 4 + [192] * 2 + [224] * 2


def script(model: str, budget: int, replays: bool) -> list[tuple[int, int, int, int, int]]:
    """What a script hands to `main_buffer.py`, per tenth, and what that makes of it.

    Returns:
        epochs, warmup_epochs, first and last epoch, steps an epoch.
    """
    sides = DEIT if "deit" in model else CONVNEXT if "convnext" in model else SMALL
    times = [1] * 10
    if replays:
        times = [4] * 2 + [2] * 4 + [1] * 4 if model in ("resnet50", "deit_small_patch16_224") else [2] * 2 + [1] * 8
    made, start = [], 0
    for tenth, (side, replay) in enumerate(zip(sides, times, strict=True)):
        ratio = 224 * 224 / (side * side)
        epochs = int(budget * ratio / replay)
        warmup = int(0.2 * budget * ratio / replay) if "deit" in model else int(20 / replay)
        if tenth:
            start = round(start * (times[tenth - 1] / replay))
            start = round(start * sides[tenth - 1] ** 2 / side**2)
        end = int(epochs / 10 * (tenth + 1))
        made.append((epochs, warmup, start, end, IMAGENET // (BATCH // replay)))
        start = end
    return made


def released_rate(peak: float, step: int, epochs: int, warmup: int, per_epoch: int) -> float:
    """Entry `step` of the array that `cosine_scheduler` in `utils_buffer.py` makes."""
    rising = warmup * per_epoch
    if step < rising:
        return peak * step / (rising - 1)
    return 1e-6 + 0.5 * (peak - 1e-6) * (1 + math.cos(math.pi * (step - rising) / (epochs * per_epoch - rising)))


@pytest.mark.parametrize("budget", [100, 105, 137, 150, 200, 250, 299, 300])
@pytest.mark.parametrize(
    ("model", "replays"), [*((name, False) for name in PUBLISHED), *((name, True) for name in WITH_REPLAY)]
)
def test_every_steps_learning_rate_is_the_released_one(model: str, replays: bool, budget: int) -> None:
    made = recipe(model, budget, "replay" if replays else "auto")
    schedule = made.schedule(IMAGENET)
    peak = 8e-3 if "CSWin_96" in model else 4e-3
    step = 0
    for number, (epochs, warmup, begin, end, per_epoch) in enumerate(script(model, budget, replays)):
        count = (end - begin) * per_epoch
        assert schedule.steps[number] == count
        for inside in (1, *range(count // 7, count, count // 7), count - 1):
            theirs = released_rate(peak, begin * per_epoch + inside, epochs, warmup, per_epoch)
            assert schedule.lr(schedule.progress(step + inside), made) == pytest.approx(theirs, rel=5e-4)
        step += count
    assert step == schedule.total_steps


@pytest.mark.parametrize("budget", [100, 300])
def test_the_rates_of_2023_are_the_released_ones(budget: int) -> None:
    made = recipe("swin_tiny", budget, "iccv")
    schedule, per_epoch = made.schedule(IMAGENET), IMAGENET // BATCH
    assert schedule.total_steps == budget * per_epoch
    for step in range(1, schedule.total_steps, 997):
        theirs = released_rate(4e-3, step, budget, 20, per_epoch)
        assert schedule.lr(schedule.progress(step), made) == pytest.approx(theirs, rel=5e-4)


@pytest.mark.parametrize("model", ["resnet50", "deit_small", "convnext_tiny"])
def test_the_exact_shares_are_the_whole_epochs_but_for_the_rounding(model: str) -> None:
    schedule = replace(recipe(model, 200), lr_schedule="continuous").schedule(IMAGENET)
    for ours, theirs in zip(schedule.passes, counted(model), strict=True):
        assert ours == pytest.approx(theirs.passes, abs=1.5)
