"""Converts a source's labels, numbers or names, to positions in the list of classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_CLASSES = 1 << 20  # for labels without names


_WHOLE = re.compile(r"\s*([+-]?\d{1,4000})(?:\.0*)?\s*")  # Python reads integers of up to 4300 digits
_SCIENTIFIC = re.compile(r"\s*[+-]?\d\.\d*e[+-]?\d{1,9}\s*", re.IGNORECASE)


class Refused(Exception):
    """A sample that cannot be converted; the text is the reason."""


def whole_number(label: Any) -> int | None:
    """The whole number of a label: 3, 3.0, "3", "+3", "3.0" (pandas) and "3.00e+00" (NumPy) are 3.

    None: the label is not a whole number, or is a bool.
    """
    if isinstance(label, str) and _SCIENTIFIC.fullmatch(label):
        label = float(label)
    if isinstance(label, str):
        match = _WHOLE.fullmatch(label)
        return int(match[1]) if match else None
    if isinstance(label, float | np.floating):
        return int(label) if float(label).is_integer() else None
    return int(label) if isinstance(label, int | np.integer) and not isinstance(label, bool) else None


def counted_from_1(largest: int, remedy: str) -> str:
    """A remark on labels from 1 to `largest`. remedy: how to number them from 0."""
    return (
        f"no sample has the label 0, labels go from 1 to {largest}: a network for them has {largest + 1} outputs; to "
        f"number them from 0, {remedy}"
    )


class Labels:
    """Maps labels to positions in `classes`.

    Attributes:
        classes: class names of the result; empty: labels are numbers without names.
    """

    def __init__(self, known: Sequence[str], wanted: Sequence[str] | None) -> None:
        """
        Args:
            known: the source's class names; its numeric labels are positions in this list; empty: it has none.
            wanted: class names in the order of the labels to store; None: the source's.

        Raises:
            ValueError: a repeated name, or a class of the source that is not in `wanted`.
        """
        self.classes = list(known if wanted is None else wanted)
        self._position = {name: label for label, name in enumerate(self.classes)}
        if len(self._position) != len(self.classes):
            twice = next(name for k, name in enumerate(self.classes) if self._position[name] != k)
            raise ValueError(f"`classes` must name each class once, got {twice!r} twice")
        missing = [name for name in known if name not in self._position]
        if missing:
            raise ValueError(
                f"`classes` must name every class of the source, {missing[0]!r} is missing ({len(missing)} in all)"
            )
        self._number = [self._position[name] for name in known]  # the source's number -> ours

    def __call__(self, label: Any) -> int:
        """The position of a label.

        Raises:
            Refused: there is no class with this name or number.
        """
        if isinstance(label, bytes):
            label = label.decode("utf-8", "replace")
        if isinstance(label, str):
            if not label.strip():
                raise Refused("its label is empty")
            position = self._position.get(label.strip())
            if position is None:
                remedy = f"is none of the {len(self.classes)} classes" if self.classes else "is a name: give `classes`"
                raise Refused(f"label {label.strip()!r} {remedy}")
            return position
        if label is None:
            raise Refused("its label is missing (null)")
        if isinstance(label, float | np.floating) and label != label:
            raise Refused("its label is missing (NaN)")
        number = whole_number(label)
        label = label if number is None else number
        if not isinstance(label, int | np.integer | np.bool_):
            raise Refused(
                f"a label must be a class number or name, got {label!r}; `fields` stores lists and other numbers, for "
                'example {"label": "json"} (--fields label:json)'
            )
        label = int(label)
        most = len(self._number) or len(self.classes) or MOST_CLASSES
        if not 0 <= label < most:
            known = self._number or self.classes
            hint = f"; if labels count from 1, put a name for 0 before the other {most} in `classes`" if known else ""
            if label == -1:
                hint = "; -1 often marks a sample without a label"
            raise Refused(f"label {label} must be from 0 to {most - 1}{hint if label in (-1, most) else ''}")
        return self._number[label] if self._number else label
