from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from loaders.beton.fields import FieldType, encode, pack_arguments, parse_fields, row_dtype, unpack_type
from loaders.beton.stored_fields import decode
from loaders.errors import BadDataset

SPECS: dict[str, Any] = {
    "label": "int",
    "weight": "float",
    "attributes": ("float32", 4),
    "grid": ("uint8", (2, 3)),
    "caption": "bytes",
    "facts": "json",
}
VALUES: dict[str, Any] = {
    "label": np.int64(7),
    "weight": 0.5,
    "attributes": [0, 1, 0, 1],
    "grid": np.arange(6).reshape(2, 3),
    "caption": "ein Hünd",
    "facts": {"boxes": np.array([[1, 2]]), "n": np.int32(3)},
}


def test_values_survive_storing() -> None:
    types = parse_fields(SPECS)
    row, blobs = encode(types, VALUES, row_dtype(types))
    assert (row["label"], row["weight"]) == (7, 0.5)
    assert row["grid"] == 16 and row["caption"].tolist() == (22, 9) and len(blobs) == 4
    back = [decode(types[name], [blob], "x") for name, blob in zip(list(SPECS)[2:], blobs, strict=True)]
    assert isinstance(back[0], np.ndarray) and back[0].dtype == np.float32
    assert np.array_equal(back[0], [[0, 1, 0, 1]]) and np.array_equal(back[1], [[[0, 1, 2], [3, 4, 5]]])
    assert back[2] == ["ein Hünd".encode()] and back[3] == [{"boxes": [[1, 2]], "n": 3}]


def test_types_survive_storing() -> None:
    for kind in parse_fields(SPECS).values():
        assert unpack_type(kind.code, pack_arguments(kind), "x") == kind
    damaged = pack_arguments(parse_fields(SPECS)["grid"]).replace(b"|u1", b"|q9")
    with pytest.raises(BadDataset, match="x: damaged, its array type cannot be read"):
        unpack_type(4, damaged, "x")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("number", "must be one of array, boxes, bytes, float, int, json, mask, points, got 'number'"),
        (("float32", ()), "needs 1 to 32 sides"),
        (("float32", 0), "needs 1 to 32 sides"),
        ((">f4", 3), "little-endian number type, got >f4"),
        (("object", 3), "little-endian number type, got object"),
        (("float99", 3), "float99"),
    ],
)
def test_wrong_types_are_refused(spec: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"field `x`: .*{told}"):
        parse_fields({"x": spec})


@pytest.mark.parametrize("name", ["", "image", "größe", "a name of seventeen", "line\n"])
def test_wrong_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 16 ASCII characters, not `image`"):
        parse_fields({name: "int"})


@pytest.mark.parametrize(
    ("spec", "value", "told"),
    [
        ("int", 1.5, "must be int, got 1.5: it is not a whole number"),
        ("int", 2**63, "does not fit 64 bits"),
        ("int", "cat", "must be int, got 'cat'"),
        ("float", None, r"must be float, got no value \(None or null\)"),
        ("int", None, "must be int, got no value"),
        ("bytes", None, "must be bytes, got no value"),
        ("json", {1, 2}, "JSON cannot hold set"),
        ("json", float("nan"), "must be json"),
        ("bytes", 3, "must be bytes, got 3"),
        (("uint8", 2), [1, 256], "its values change in that type"),
        (("float32", 2), [1, 1e300], "a value is too large for that type"),
        (("float16", 2), [-70_000, 1], "a value is too large for that type"),
        (("float32", 2), [1, 2, 3], r"its shape is \[3\]"),
        (("float32", 2), ["a", "b"], "its type is <U1"),
    ],
)
def test_wrong_values_are_refused(spec: Any, value: Any, told: str) -> None:
    types = parse_fields({"x": spec})
    with pytest.raises(ValueError, match=f"field `x` must be .*{told.removeprefix('must be ')}"):
        encode(types, {"x": value}, row_dtype(types))


def test_a_missing_value_is_named() -> None:
    types = {"x": FieldType("int")}
    with pytest.raises(ValueError, match=r"field `x` \(int\) is missing; the sample has y"):
        encode(types, {"y": 1}, row_dtype(types))


def test_an_empty_value_has_a_pointer_of_its_own() -> None:
    types = parse_fields({"a": "bytes", "b": "bytes"})
    row, blobs = encode(types, {"a": b"", "b": b"x"}, row_dtype(types))
    assert blobs == [b"", b"x"] and row["a"].tolist() == (0, 0) and row["b"].tolist() == (1, 1)
