"""Each kind of odd file in `convert` and in a folder with each backend, in all views, against Pillow."""

from __future__ import annotations

import pytest

from tests.loaders import formats


@pytest.fixture(scope="module")
def documented() -> dict[str, list[str]]:
    """The table of docs/formats.md."""
    text = formats.PAGE.read_text(encoding="utf-8")
    lines = text[text.index(formats.BEGIN) + len(formats.BEGIN) : text.index(formats.END)].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {kind: outcomes for kind, *outcomes in rows}


def test_convert_and_folder(documented: dict[str, list[str]]) -> None:
    assert formats.measured(("torch",)) == {kind: outcomes[:2] for kind, outcomes in documented.items()}


@pytest.mark.dali
def test_dali(documented: dict[str, list[str]]) -> None:
    assert formats.measured(("dali",)) == {kind: [a, c] for kind, (a, _, c) in documented.items()}
