from __future__ import annotations

import pytest

from efficienttrain.presets import PUBLISHED
from tools.constants import PAGE, SCRIPTS, common, compared, page


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_constant_of_a_script_is_ours(name: str) -> None:
    for setting, released, ours in compared(name, SCRIPTS[name]):
        assert ours == released, setting


def test_every_common_constant_is_ours() -> None:
    for setting, released, ours in common():
        assert released.startswith(f"{ours} ("), setting


def test_no_script_is_left_out() -> None:
    assert list(SCRIPTS) == list(PUBLISHED)


def test_the_page_is_what_the_command_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools constants"
