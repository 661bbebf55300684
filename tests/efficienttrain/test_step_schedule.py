from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from efficienttrain import GENERAL, Recipe, Schedule, Stage, recipe

IMAGENET = 1_281_167


def test_every_stage_gets_its_share_of_the_compute_to_half_a_step() -> None:
    schedule = Schedule(GENERAL, 200, IMAGENET, 4096)
    whole = 200 * IMAGENET / 4096  # steps at 224
    for stage, steps in zip(GENERAL, schedule.steps, strict=True):
        a_step = (stage.resolution / 224) ** 2
        assert steps * a_step == pytest.approx(whole * stage.compute, abs=a_step / 2)
    assert schedule.total_steps == sum(schedule.steps) == 142_186
    assert sum(schedule.passes) == pytest.approx(454.58, abs=0.01)


def test_a_stage_with_a_batch_of_its_own_takes_fewer_steps() -> None:
    stages = (Stage(96, 0, 0.5, batch=8192), Stage(96, 0, 0.5))
    early, late = Schedule(stages, 20, IMAGENET, 4096).steps
    assert early == pytest.approx(late / 2, abs=1)


def test_progress_rises_evenly_within_a_stage_and_meets_its_bounds() -> None:
    schedule = Schedule((Stage(96, 0, 0.25), Stage(224, 9, 0.75)), 4, 1000, 10)
    small, large = schedule.steps
    assert schedule.progress(0) == 0
    assert schedule.progress(small // 2) == pytest.approx(0.25 * (small // 2) / small)
    assert schedule.progress(small) == pytest.approx(0.25)
    assert schedule.progress(small + large) == schedule.progress(10**9) == 1
    assert [schedule.stage_of(step) for step in (0, small - 1, small, small + large - 1, 10**9)] == [0, 0, 1, 1, 1]


def test_passes_and_progress_are_each_others_reverse() -> None:
    schedule = Schedule(GENERAL, 200, IMAGENET, 4096)
    for share in (0.0, 0.05, 0.2, 0.61, 0.9999):
        assert schedule.progress_after(schedule.seen(share)) == pytest.approx(share)
    assert schedule.seen(0.1) == pytest.approx(108.9, abs=0.05)
    assert schedule.progress_after(sum(schedule.passes)) == pytest.approx(1)


@pytest.mark.parametrize("model", ["swin_tiny", "deit_small", "convnext_tiny"])
@pytest.mark.parametrize("curriculum", ["auto", "iccv", "none"])
def test_the_continuous_learning_rate_never_jumps(model: str, curriculum: str) -> None:
    made = replace(recipe(model, 200, curriculum), lr_schedule="continuous")
    schedule = made.schedule(50_000)
    rates = [schedule.lr(schedule.progress(step), made) for step in range(schedule.total_steps + 1)]
    assert rates[0] == 0 and max(rates) == pytest.approx(made.lr, rel=1e-3) and rates[-1] == pytest.approx(made.min_lr)
    # Nothing is steeper than the warm-up's line or the middle of the cosine, over the most that a step can move.
    steepest = made.lr * max(1 / made.warmup, math.pi / 2 / (1 - made.warmup))
    furthest = max(
        1 / steps * (end - begin if made.pace == "compute" else passes / sum(schedule.passes))
        for steps, begin, end, passes in zip(
            schedule.steps, schedule.bounds, schedule.bounds[1:], schedule.passes, strict=False
        )
    )
    assert max(abs(after - before) for before, after in pairwise(rates)) <= 1.001 * steepest * furthest


def test_the_learning_rate_is_a_line_then_half_a_cosine() -> None:
    made = Recipe("m", 10, (Stage(224, 9, 1.0),), lr=1.0, min_lr=0.0, warmup=0.2)
    schedule = made.schedule(10_000)
    expected = {0.0: 0.0, 0.1: 0.5, 0.2: 1.0, 0.4: 0.5 + 0.5 * math.cos(math.pi / 4), 0.6: 0.5, 1.0: 0.0}
    assert {done: schedule.lr(done, made) for done in expected} == pytest.approx(expected)


def test_the_pace_of_2023_is_that_of_the_passes() -> None:
    made = replace(recipe("deit_small", 300, "iccv"), min_lr=0.0, warmup=0.0, warmup_epochs=None)
    schedule = made.schedule(IMAGENET)
    # After three fifths of the passes, but 47 % of the compute.
    assert schedule.lr(schedule.bounds[3], made) == pytest.approx(made.lr * (0.5 + 0.5 * math.cos(math.pi * 0.6)))
    assert schedule.bounds[3] == pytest.approx(0.469, abs=0.001)


def test_a_small_budget_has_exact_shares_and_a_fifth_of_warm_up() -> None:
    made = recipe("swin_tiny", 50)
    schedule = made.schedule(IMAGENET)
    assert not schedule.official and schedule.bounds == pytest.approx([tenth / 10 for tenth in range(11)])
    # At 224, 20 epochs would be 40 % of the run.
    assert schedule.lr(0.7, made) == pytest.approx(1e-6 + (4e-3 - 1e-6) * (0.5 + 0.5 * math.cos(math.pi * 0.5 / 0.8)))
    assert schedule.lr(0.05, made) == pytest.approx(4e-3 * 0.05 / (20 / (50 * (224 / 96) ** 2)))


def test_weight_decay_goes_along_half_a_cosine_of_the_whole_run() -> None:
    made = replace(recipe("deit_small", 200), weight_decay=0.1, weight_decay_end=0.5)
    schedule = made.schedule(IMAGENET)
    middle = sum(schedule.steps[:5])
    assert schedule.weight_decay(0, made) == pytest.approx(0.1)
    assert schedule.weight_decay(schedule.total_steps, made) == pytest.approx(0.5)
    assert schedule.weight_decay(middle, made) == pytest.approx(0.3, abs=2e-3)
    assert schedule.weight_decay(middle, replace(made, weight_decay_end=None)) == 0.1


def test_stages_too_short_for_a_whole_epoch_are_not_rounded_away() -> None:
    stages = (Stage(96, 0, 0.001), Stage(224, 9, 0.999))
    schedule = Recipe("m", 100, stages, warmup_epochs=20).schedule(IMAGENET)
    assert not schedule.official and schedule.steps[0] == 170


def test_another_full_size_has_the_same_epochs_and_curve() -> None:
    made = recipe("swin_tiny", 200)
    half = replace(made, stages=tuple(replace(stage, resolution=stage.resolution // 2) for stage in made.stages))
    assert half.schedule(IMAGENET, 112).steps == made.schedule(IMAGENET).steps
    for step in (100, 40_000, 120_000):
        rates = [s.lr(s.progress(step), made) for s in (made.schedule(IMAGENET), half.schedule(IMAGENET, 112))]
        assert rates[0] == pytest.approx(rates[1])


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"stages": ()}, "add up to 1, got 0"),
        ({"stages": (Stage(96, 0, 0.5), Stage(224, 9, 0.4))}, "add up to 1, got 0.9"),
        ({"epochs": 0}, "`epochs` must be more than 0, got 0"),
        ({"samples": 0}, "`samples`"),
        ({"batch": -1}, "`batch`"),
    ],
)
def test_what_is_no_schedule_is_refused(changes: dict[str, object], names: str) -> None:
    whole: dict[str, object] = {"stages": GENERAL, "epochs": 200, "samples": 10, "batch": 2}
    with pytest.raises(ValueError, match=names):
        Schedule(**{**whole, **changes})  # type: ignore[arg-type]
