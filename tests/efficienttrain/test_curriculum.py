from __future__ import annotations

import pytest

from efficienttrain import GENERAL, Stage, epochs_of, merged, table


def test_general_table_is_the_published_one() -> None:
    assert [stage.bandwidth for stage in GENERAL] == [96] * 2 + [160] * 4 + [224] * 4
    assert [stage.magnitude for stage in GENERAL] == list(range(10))
    assert sum(stage.compute for stage in GENERAL) == pytest.approx(1)


def test_epochs_of_200_are_those_of_the_released_scripts() -> None:
    # A tenth at 96 is a tenth of 1088 epochs, at 160 of 392, at 224 of 200; all together 454 passes.
    assert [round(epochs_of(stage, 200), 1) for stage in GENERAL] == [108.9] * 2 + [39.2] * 4 + [20.0] * 4
    assert int(sum(epochs_of(stage, 200) for stage in GENERAL)) == 454


def test_every_stage_costs_its_share_of_the_budget() -> None:
    for stage in GENERAL:
        cost = epochs_of(stage, 30) * (stage.bandwidth / 224) ** 2
        assert cost == pytest.approx(30 * stage.compute)


def test_merged_joins_neighbours_and_keeps_the_compute() -> None:
    stages = merged(GENERAL)
    assert [(stage.bandwidth, stage.magnitude) for stage in stages] == [(96, None), (160, None), (224, None)]
    assert [stage.compute for stage in stages] == pytest.approx([0.2, 0.4, 0.4])
    assert merged([Stage(96, 0, 0.5), Stage(224, 0, 0.25), Stage(96, 0, 0.25)]) == (
        Stage(96, None, 0.5), Stage(224, None, 0.25), Stage(96, None, 0.25),
    )  # fmt: skip


def test_table_says_none_and_sums_up() -> None:
    lines = table(merged(GENERAL), 200).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["0", "96", "none", "20.0%", "217.8"]
    assert lines[-1].split() == ["all", "100.0%", "454.6"]


@pytest.mark.parametrize(
    ("bandwidth", "magnitude", "compute", "names"),
    [(97, 0, 0.1, "97"), (8, 0, 0.1, "16 to 1024"), (96, 11, 0.1, "11"), (96, 0, 0.0, "0.0"), (96, 0, 1.5, "1.5")],
)
def test_a_stage_out_of_range_is_refused(bandwidth: int, magnitude: int, compute: float, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        Stage(bandwidth, magnitude, compute)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="budget_epochs"):
        epochs_of(GENERAL[0], 0)
