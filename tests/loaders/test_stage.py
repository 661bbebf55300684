from __future__ import annotations

import pytest

from loaders.stage import Stage


def test_sound_values_are_kept() -> None:
    stage = Stage(resolution=96, magnitude=0, batch_size=512)
    assert (stage.resolution, stage.magnitude, stage.batch_size) == (96, 0, 512)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (97, "an even number from 16 to 1024, got 97; nearest are 96 and 98."),
        (0, "got 0; nearest is 16."),
        (4000, "got 4000; nearest is 1024."),
        (96.5, "got 96.5; nearest are 96 and 98."),
        (True, "got True."),
        ("96", "got '96'."),
        (float("nan"), "got nan."),
    ],
)
def test_resolution_errors_give_the_remedy(value: object, remedy: str) -> None:
    with pytest.raises(ValueError, match="`resolution` must be") as caught:
        Stage(resolution=value, magnitude=None, batch_size=1)  # type: ignore[arg-type]
    assert remedy in str(caught.value)


@pytest.mark.parametrize("value", [-1, 10.5, "9", True])
def test_magnitude_is_checked(value: object) -> None:
    with pytest.raises(ValueError, match="`magnitude` must be a number from 0 to 10, or None"):
        Stage(resolution=96, magnitude=value, batch_size=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -4, 2.0, 2**20, True])
def test_batch_size_is_checked(value: object) -> None:
    with pytest.raises(ValueError, match="`batch_size` must be a whole number from 1"):
        Stage(resolution=96, magnitude=None, batch_size=value)  # type: ignore[arg-type]
