from __future__ import annotations

from typing import Any

import pytest

from efficienttrain.search import Choice, Probe, Space


@pytest.mark.parametrize(("stages", "pyramid"), [(10, [*range(10)]), (5, [1, 3, 5, 7, 9]), (2, [4, 9]), (1, [9])])
def test_the_pyramid_is_the_released_one(stages: int, pyramid: list[float]) -> None:
    space = Space(stages, (224,))
    assert [space.pyramid(number) for number in range(stages)] == pyramid


def test_shares_are_of_compute_or_of_passes() -> None:
    assert Space(4, (112, 224)).stage(Choice(112, 1)).compute == 1 / 4
    assert Space(4, (112, 224), pace="passes").stage(Choice(112, 1)).compute == 1 / 16


def test_names() -> None:
    probe = Probe((Choice(96, 1), Choice(160, 2.5)), 1, begins=1)
    assert (probe.key, probe.parent) == ("96m1-160m2.5", "96m1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": 0}, "`stages` must be at least 1, got 0."),
        ({"resolutions": (224, 96)}, "`resolutions` must be ascending, got 224 96; give 96 224."),
        ({"resolutions": (96, 160)}, "must be the full size, 224, got 96 160."),
        ({"resolutions": ()}, "must be the full size, 224, got none."),
        ({"resolutions": (97, 224)}, "`resolution` must be an even number"),
        ({"magnitudes": (9, 11)}, "`magnitude` must be from 0 to 10"),
        ({"pace": "time"}, "`pace` must be one of compute, passes, got 'time'."),
    ],
)
def test_a_wrong_space(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(**{"stages": 5, "resolutions": (96, 224), **changes})
