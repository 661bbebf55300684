"""docs/scale.md shows the output of its own commands."""

from __future__ import annotations

import pytest

from tools.scale import PAGE, PROMPT, renewed


def test_the_page_is_what_the_command_prints() -> None:
    pytest.importorskip("timm")
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(PROMPT) == 3 and page.count("Conversion\n") == 3
    assert renewed(page) == page, "run: python -m tools scale"


def test_a_changed_number_is_noticed() -> None:
    options = "--images 1000 --nodes 1 --gpus 1 --model deit_small_patch16_224 --gpu-rate 100"
    page = renewed(f"text\n```\n{PROMPT}{options}\n```\nmore\n")
    assert "GPU                     100 images/s" in page and page.endswith("```\nmore\n")
    assert renewed(page.replace("100 images/s", "101 images/s")) == page
