"""Checks and conversions of single values that users pass. Each error is one line: the rule, then what was received."""

from __future__ import annotations

import os
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np


def whole(value: Any) -> bool:
    """Whether this is an integer, of Python or NumPy; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def number(value: Any) -> bool:
    """Whether this is a real number, of Python or NumPy; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def unbox(value: Any) -> Any:
    """A NumPy number as Python's, because products of small NumPy integers wrap around. Other values are unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def absolute(data: Any) -> Any:
    """A path made absolute, so that it does not depend on the working directory; URLs and objects unchanged."""
    if not isinstance(data, str | os.PathLike):
        return data
    name = os.fspath(data)
    return name if "://" in name else os.path.abspath(os.path.expanduser(name))


def torchs_name(value: Any) -> str:
    """The short name of a constant of torch: "float16" for torch.float16, "contiguous" for torch.contiguous_format."""
    return str(value).removeprefix("torch.").removesuffix("_format")


def one_of(name: str, value: object, legal: tuple[object, ...]) -> None:
    """Raises ValueError unless `value` is one of `legal`."""
    if not any(value is one or (type(value) is type(one) and value == one) for one in legal):
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, legal))}, got {value!r}.")


def in_range(name: str, value: Any, least: int, most: int, remedy: str = "") -> None:
    """Raises ValueError unless `value` is an integer from `least` to `most`."""
    if not (whole(value) and least <= value <= most):
        raise ValueError(f"`{name}` must be a whole number from {least} to {most}, got {value!r}{remedy}.")


def probability(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a number from 0 to 1."""
    if not (number(value) and 0 <= value <= 1):
        raise ValueError(f"`{name}` must be a probability, 0 to 1, got {value!r}.")


def items(name: str, value: Any, what: str) -> tuple[Any, ...]:
    """The items of a list. what: the kind of items, for the error message.

    Raises:
        ValueError: `value` is a single string, or not a collection.
    """
    try:
        if isinstance(value, Collection) and not isinstance(value, (str, bytes)):  # an iterator could be read only once
            return tuple(value)
    except TypeError:  # an array without dimensions
        pass
    raise ValueError(f"`{name}` must be a list of {what}, got {value!r}.")
