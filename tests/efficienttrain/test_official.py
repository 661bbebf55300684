"""The tables of the released scripts at 200 epochs on ImageNet-1K, to the epoch."""

from __future__ import annotations

import pytest

from efficienttrain import recipe
from efficienttrain.official import OfficialStage, official

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


@pytest.mark.parametrize("model", ["resnet50", "deit_small", "convnext_tiny"])
def test_our_schedule_is_theirs_but_for_the_rounding(model: str) -> None:
    schedule = recipe(model, 200).schedule(IMAGENET)
    for ours, theirs in zip(schedule.passes, counted(model), strict=True):
        assert ours == pytest.approx(theirs.passes, abs=1.5)
