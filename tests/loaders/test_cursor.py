"""What a cursor refuses; what it resumes is in test_epochs.py."""

from __future__ import annotations

from typing import Any

import pytest

from loaders.cursor import Cursor


@pytest.mark.parametrize(
    ("given", "got"),
    [(None, "None"), ([1], r"\[1\]"), ({}, "one of nothing"), ({"model": 1, "loader": 2}, "one of 'model', 'loader'")],
)
def test_what_is_no_state_is_named(given: Any, got: str) -> None:
    with pytest.raises(TypeError, match=f"`state` must be the dictionary that `state_dict` returned, got {got}"):
        Cursor(24, 0, True).load_state_dict(given)
