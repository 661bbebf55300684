from __future__ import annotations

import pytest

from loaders.stage import Stage


def test_sound_values_are_kept() -> None:
    stage = Stage(resolution=96, magnitude=0, batch_size=512)
    assert (stage.resolution, stage.magnitude, stage.batch_size) == (96, 0, 512)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (15, "15"),
        (1025, "1025"),
        (96.5, "96.5"),
        (True, "True"),
        ("96", "'96'"),
        (float("nan"), "nan"),
    ],
)
def test_resolution_errors_give_rule_and_value(value: object, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^`resolution` must be a whole number from 16 to 1024, got {got}\.$"):
        Stage(resolution=value, magnitude=None, batch_size=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [16, 97, 1024])
def test_any_whole_resolution_in_range_is_sound(value: int) -> None:
    assert Stage(resolution=value, magnitude=None, batch_size=1).resolution == value


@pytest.mark.parametrize("value", [-1, 10.5, "9", True])
def test_magnitude_is_checked(value: object) -> None:
    with pytest.raises(ValueError, match="`magnitude` must be a number from 0 to 10, or None"):
        Stage(resolution=96, magnitude=value, batch_size=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -4, 2.0, 2**20, True])
def test_batch_size_is_checked(value: object) -> None:
    with pytest.raises(ValueError, match="`batch_size` must be a whole number from 1"):
        Stage(resolution=96, magnitude=None, batch_size=value)  # type: ignore[arg-type]
