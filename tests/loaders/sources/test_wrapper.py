"""A wrapper has all that a data set has: nothing that is added to `Dataset` is lost in one."""

from __future__ import annotations

import inspect
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from loaders.sources.dataset import Dataset
from loaders.sources.without import Without
from loaders.sources.wrapper import Wrapper

DERIVED = {
    "expect_random_reads",
    "file_bytes",
    "originals",
    "parts",
    "read_field",
    "read_original",
    "stored_at",
    "with_tables",
}
"""Members that `Dataset` makes of others, so that they are right in a wrapper, too; or that are about itself."""
CHANGED = {"span", "image_bytes", "storage"}  # by Without
OWN = {"inside", "inner"}


def public(kind: type) -> set[str]:
    return {name for name in (*vars(kind), *vars(kind).get("__annotations__", ())) if not name.startswith("_")}


ATTRIBUTES = public(Dataset) & Dataset.__annotations__.keys()
METHODS = public(Wrapper) - ATTRIBUTES - OWN


def wrapped() -> tuple[Without, Any]:
    """A data set without its first sample; and the whole, which notes what it is asked."""
    inner = Mock(spec=Dataset, path="x", span=None, storage=None, image_bytes=40, __len__=lambda _: 4)
    return Without(inner, [0]), inner


def test_every_member_of_a_data_set_is_in_the_wrapper() -> None:
    assert public(Dataset) - public(Wrapper) == DERIVED
    assert public(Wrapper) - public(Dataset) <= OWN


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_asks_the_inner_data_set_about_its_own_indices(name: str) -> None:
    dataset, inner = wrapped()
    given = {"indices": np.array([0, 2]), "index": 2}
    expected = {"indices": [1, 3], "index": 3}
    _, *names = [one.lstrip("_") for one in inspect.signature(getattr(Dataset, name)).parameters]
    found = getattr(dataset, name)(*(given.get(one, one) for one in names))
    asked = getattr(inner, name)
    assert [np.asarray(one).tolist() for one in asked.call_args.args] == [expected.get(one, one) for one in names]
    assert found is asked() or name in ("close", "expect")  # these return nothing


@pytest.mark.parametrize("name", sorted(ATTRIBUTES - CHANGED))
def test_an_attribute_is_the_present_one_of_the_inner_data_set(name: str) -> None:
    dataset, inner = wrapped()
    for value in (object(), object()):
        setattr(inner, name, value)
        assert getattr(dataset, name) is value
    setattr(dataset, name, "own")
    assert getattr(dataset, name) == "own" and getattr(inner, name) is value


def test_a_subclass_may_have_its_own_attribute() -> None:
    class Other(Wrapper):
        kind = "other"

    inner = Mock(spec=Dataset, kind="inner", path="x")
    assert (Other(inner).kind, Other(inner).path) == ("other", "x")
