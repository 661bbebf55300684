"""Values from a YAML file for the fields of a dataclass, converted to the fields' types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

_LISTS = {"tuple[int, ...]": "a list of whole numbers", "tuple[float, ...]": "a list of numbers"}
_WORDS = {"str": "a word", "bool": "true or false", "int": "a whole number", "float": "a number"}


def kinds_of(of: Any) -> dict[str, str]:
    """The annotation of each field of a dataclass, as text."""
    return {field.name: str(field.type) for field in fields(of)}


def converted(name: str, value: Any, kinds: Mapping[str, str]) -> Any:
    """The value as the field's annotation wants it. YAML reads 4e-3 as a word, and so it is read as a number here.

    Args:
        name: a key of `kinds`.
        value: as YAML gives it.
        kinds: see `kinds_of`.

    Raises:
        ValueError: it is of another type.
    """
    kind, _, optional = kinds[name].partition(" | ")
    if optional and value is None:
        return None
    try:
        if kind in _LISTS and isinstance(value, list | tuple):
            item = kind.removeprefix("tuple[").partition(",")[0]
            return tuple(_one(item, one) for one in value)
        return _one(kind, value)
    except ValueError:
        raise ValueError(f"`{name}` must be {_WORDS.get(kind) or _LISTS[kind]}, got {value!r}.") from None


def _one(kind: str, value: Any) -> Any:
    """Raises ValueError unless the value is of that kind."""
    if kind == "float" and isinstance(value, int | str) and not isinstance(value, bool):
        return float(value)
    if type(value).__name__ != kind:
        raise ValueError
    return value
