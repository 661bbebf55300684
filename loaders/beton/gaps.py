"""Numbering of whole numbers of which some are missing."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Renumbering(Protocol):
    """Numbers the present numbers 0, 1, 2, ... in rising order; this number is called the rank."""

    def present(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of these ranks, [n]."""
        ...

    def ranks(self, present: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ranks of these numbers, [n]."""
        ...

    def missing(self, first: int, last: int) -> NDArray[np.int64]:
        """The missing numbers from `first` to `last` - 1, in rising order."""
        ...


class Gaps:
    """All whole numbers except some. Memory and time grow with the number of missing numbers."""

    def __init__(self, missing: ArrayLike) -> None:
        """missing: each once, in any order."""
        self._missing = np.sort(np.asarray(missing, np.int64))
        self._below = self._missing - np.arange(len(self._missing))  # numbers present below each missing one

    def present(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Renumbering.present`."""
        return ranks + np.searchsorted(self._below, ranks, side="right")

    def ranks(self, present: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Renumbering.ranks`."""
        return present - np.searchsorted(self._missing, present)

    def missing(self, first: int, last: int) -> NDArray[np.int64]:
        """See `Renumbering.missing`."""
        start, end = np.searchsorted(self._missing, [first, last])
        return self._missing[start:end]


class Members:
    """Some whole numbers. Memory and time grow with their number, not with the number of missing numbers."""

    def __init__(self, members: ArrayLike) -> None:
        """members: each once, in any order."""
        self._members = np.sort(np.asarray(members, np.int64))

    def present(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Renumbering.present`."""
        return self._members[ranks]

    def ranks(self, present: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Renumbering.ranks`."""
        return np.searchsorted(self._members, present)

    def missing(self, first: int, last: int) -> NDArray[np.int64]:
        """See `Renumbering.missing`."""
        return np.setdiff1d(np.arange(first, last), self._members, assume_unique=True)
