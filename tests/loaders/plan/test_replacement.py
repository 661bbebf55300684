from __future__ import annotations

from loaders.plan.replacement import TRIES, replacements


def test_stand_ins_depend_on_the_sample_alone_and_are_in_range() -> None:
    first = replacements(0, 0, 5, 1000)
    assert first == replacements(0, 0, 5, 1000) and len(first) == TRIES
    assert all(0 <= i < 1000 for i in first) and len(set(first)) > TRIES // 2
    others = [replacements(1, 0, 5, 1000), replacements(0, 1, 5, 1000), replacements(0, 0, 6, 1000)]
    assert all(first != other for other in others)
