from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from efficienttrain import GENERAL, Stage, epochs_of, merged, table


def test_general_table_is_the_published_one() -> None:
    assert [stage.resolution for stage in GENERAL] == [96] * 2 + [160] * 4 + [224] * 4
    assert [stage.magnitude for stage in GENERAL] == list(range(10))
    assert sum(stage.compute for stage in GENERAL) == pytest.approx(1)


def test_epochs_of_200_are_those_of_the_released_scripts() -> None:
    # A tenth at 96 is a tenth of 1088 epochs, at 160 of 392, at 224 of 200; all together 454 passes.
    assert [round(epochs_of(stage, 200), 1) for stage in GENERAL] == [108.9] * 2 + [39.2] * 4 + [20.0] * 4
    assert int(sum(epochs_of(stage, 200) for stage in GENERAL)) == 454


def test_every_stage_costs_its_share_of_the_budget() -> None:
    for stage in GENERAL:
        cost = epochs_of(stage, 30) * (stage.resolution / 224) ** 2
        assert cost == pytest.approx(30 * stage.compute)


def test_merged_joins_neighbours_and_keeps_the_compute() -> None:
    stages = merged(GENERAL)
    assert [(stage.resolution, stage.magnitude) for stage in stages] == [(96, None), (160, None), (224, None)]
    assert [stage.compute for stage in stages] == pytest.approx([0.2, 0.4, 0.4])
    assert merged([Stage(96, 0, 0.5), Stage(224, 0, 0.25), Stage(96, 0, 0.25)]) == (
        Stage(96, None, 0.5), Stage(224, None, 0.25), Stage(96, None, 0.25),
    )  # fmt: skip


def test_table_says_none_and_sums_up() -> None:
    lines = table(merged(GENERAL), 200).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["0", "96", "none", "20.0%", "217.8"]
    assert lines[-1].split() == ["all", "100.0%", "454.6"]


def test_merged_keeps_apart_what_differs_in_batch_or_replay() -> None:
    stages = [Stage(96, 0, 0.25, batch=8192), Stage(96, 1, 0.25), Stage(96, 2, 0.5, replay=2, replay_buffer=9)]
    assert merged(stages, magnitude=9) == tuple(replace(stage, magnitude=9) for stage in stages)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"resolution": 97}, "`resolution` must be an even number from 16 to 1024, got 97"),
        ({"resolution": 8}, "16 to 1024"),
        ({"resolution": 96.0}, "got 96.0"),
        ({"magnitude": 11}, "`magnitude` must be from 0 to 10, .* got 11"),
        ({"compute": 0.0}, "got 0.0"),
        ({"compute": 1.5}, "got 1.5"),
        ({"batch": 0}, "`batch`"),
        ({"replay": 0}, "`replay` must be a whole number, at least 1"),
        ({"replay": 2}, "`replay_buffer` must be at least 1 step"),
    ],
)
def test_a_stage_out_of_range_is_refused(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        Stage(**{"resolution": 96, "magnitude": 0, "compute": 0.1, **changes})


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="budget_epochs"):
        epochs_of(GENERAL[0], 0)
