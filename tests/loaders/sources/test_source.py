"""What a source may have beside the protocol is declared in one place, and asked for there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loaders
from loaders.sources.source import Extras, Sample, Source, extras, indexable

DECLARED = set(Extras.__annotations__)
FILES = {path: path.read_text() for path in Path(loaders.__file__).parent.rglob("*.py")}


class Bare:
    path, classes, fields = "bare", ["cat"], {}  # type: ignore[var-annotated]

    def __len__(self) -> int:
        return 1

    def samples(self, start: int = 0) -> Iterator[Sample]:
        return iter([Sample("one", b"", {})][start:])

    def fingerprint(self) -> str:
        return "bare"


def asked(text: str) -> set[str]:
    """Attributes that a source is asked for by `extras(source).NAME`."""
    return {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func) == "extras"
    }


def asked_otherwise(text: str) -> list[str]:
    """Calls that ask a source for an attribute by a name in quotes."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and len(node.args) > 1]
    return [
        ast.unparse(call)
        for call in calls
        if ast.unparse(call.func) in ("getattr", "hasattr") and isinstance(call.args[1], ast.Constant)
        if "source" in ast.unparse(call.args[0]).lower() and call.args[1].value != "__getitem__"
    ]


def test_all_that_is_asked_for_is_declared_and_nothing_else() -> None:
    assert set().union(*map(asked, FILES.values())) == DECLARED


def test_a_source_is_asked_in_no_other_way() -> None:
    assert [call for text in FILES.values() for call in asked_otherwise(text)] == []
    assert asked_otherwise('getattr(self._source, "labels", None)') and asked_otherwise('hasattr(source, "hints")')


def test_a_source_without_any_has_the_declared_values() -> None:
    source = Bare()
    assert isinstance(source, Source)
    assert {name: getattr(extras(source), name) for name in DECLARED} == {
        name: getattr(Extras, name) for name in DECLARED
    }
    assert not indexable(source)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_sources_own_attribute_counts(name: str) -> None:
    source: Any = Bare()
    setattr(source, name, own := object())
    assert getattr(extras(source), name) is own


def test_a_misspelt_name_is_an_error() -> None:
    source: Any = Bare()
    source.hint = ("lost",)
    with pytest.raises(AttributeError, match="hint"):
        extras(source).hint  # type: ignore[attr-defined] # noqa: B018


def test_a_source_with_numbered_samples_can_be_read_in_any_order_unless_it_denies_it() -> None:
    class Numbered(Bare):
        def __getitem__(self, index: int) -> Sample:
            return Sample(str(index), b"", {})

    source: Any = Numbered()
    assert indexable(source)
    source.indexable = False
    assert not indexable(source)
