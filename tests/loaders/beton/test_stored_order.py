from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from loaders.beton.stored_order import Numbering, Shuffled, Span, described, parse, permutation


@pytest.mark.parametrize("left_out", [[], [0], [9], [3, 4, 5], [0, 2, 4, 6, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9]])
def test_samples_left_out_have_no_position(left_out: list[int]) -> None:
    order = Shuffled(10, left_out)
    kept = [k for k in permutation(10)(np.arange(10)).tolist() if k not in left_out]  # source numbers, as stored
    index = {number: k for k, number in enumerate(sorted(kept))}
    expected = [index[number] for number in kept]
    assert order.indices(np.arange(len(kept))).tolist() == expected
    assert order.positions(np.array(expected)).tolist() == list(range(len(kept)))


@pytest.mark.parametrize("parts", [[0], [7], [2, 5], [0, 3, 4, 7], [0, 1, 2, 3, 4, 5], list(range(8))])
def test_some_parts_of_a_set_are_numbered_as_their_source(parts: list[int]) -> None:
    """Few parts and most of them take different ways."""
    spans = Shuffled(1000, [7, 500]).spans([*range(125, 1000, 125), 998])
    chosen = [spans[k] for k in parts]
    stored = [number for span in chosen for number in span.numbers().tolist() if number not in (7, 500)]
    index = {number: k for k, number in enumerate(sorted(stored))}
    numbering = Numbering(chosen, list(map(len, chosen)))
    assert numbering.indices(np.arange(len(stored))).tolist() == [index[number] for number in stored]
    assert numbering.places(np.arange(len(stored))).tolist() == np.argsort(stored).tolist()
    whole = numbering.whole(len(stored))
    assert whole is not None and sum(map(len, whole.spans([50, len(stored)]))) == len(stored)
    assert [k for span in whole.spans([50, len(stored)]) for k in _kept(span)] == stored


def _kept(span: Span) -> list[int]:
    return [number for number in span.numbers().tolist() if number not in span.left_out]


def test_what_is_described_is_parsed() -> None:
    entry = described(1000, [7, 3])
    order = parse({"storage": entry}, 998)
    assert order is not None and entry["left_out"] == [3, 7]
    assert order.indices(np.arange(998)).tolist() == Shuffled(1000, [3, 7]).indices(np.arange(998)).tolist()
    assert parse({}, 998) is None


@pytest.mark.parametrize(
    "change",
    [
        {"order": "sorted"},
        {"samples": 999},
        {"samples": None},
        {"seed": -1},
        {"left_out": [3]},
        {"left_out": [3, 3]},
        {"left_out": [3, 1000]},
        {"left_out": [-1, 3]},
        {"left_out": ["x"]},
    ],
)
def test_an_entry_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="name an unknown storage order"):
        parse({"storage": {**described(1000, [7, 3]), **change}}, 998)
    with pytest.raises(ValueError, match="name an unknown storage order"):
        parse({"storage": "shuffled"}, 998)
