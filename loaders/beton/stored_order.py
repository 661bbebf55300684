"""The order in which a pyramid stores its samples; a sample index does not depend on it.

Sample indices follow the source. Records lie in a shuffled order, so that any run of neighbours on the disk is a fair
sample of the whole set, even if the source is sorted by class. The order is computed by `plan.permutation` from the
entry `storage` of the pyramid's meta data:

    {"order": "shuffled", "samples": of the source, "left_out": their numbers without a record, "seed": SEED}

Without that entry, records lie in the order of their indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..plan.permutation import Permutation
from ..plan.rng import Purpose

SEED = 0
"""The key of all stored orders. Fixed, so that the same source always gives the same file."""


def permutation(samples: int, seed: int = SEED) -> Permutation:
    """The source's samples in the order in which they are stored."""
    return Permutation(samples, seed, 0, Purpose.STORAGE)


class Shuffled:
    """The order of a pyramid that was stored shuffled. Samples of the source without a record have no position."""

    def __init__(self, samples: int, left_out: Sequence[int] = (), seed: int = SEED) -> None:
        """
        Args:
            samples: of the source.
            left_out: numbers of the source's samples that have no record.
        """
        self._order = permutation(samples, seed)
        self._left_out = np.sort(np.array(left_out, np.int64))
        self._gaps = np.sort(self._order.inverse(self._left_out))  # their places in the order

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return _close(self._order(_open(positions, self._gaps)), self._left_out)

    def positions(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return _close(self._order.inverse(_open(indices, self._left_out)), self._gaps)


def described(samples: int, left_out: Sequence[int]) -> dict[str, Any]:
    """The meta data's entry `storage` of a pyramid that is stored shuffled."""
    return {"order": "shuffled", "samples": samples, "left_out": sorted(left_out), "seed": SEED}


def parse(meta: dict[str, Any], samples: int) -> Shuffled | None:
    """The order that a pyramid's meta data name; None: as numbered.

    Args:
        samples: of the pyramid.

    Raises:
        ValueError: the entry fits no pyramid of so many samples.
    """
    entry = meta.get("storage")
    if entry is None:
        return None
    try:
        count, left_out, seed = int(entry["samples"]), list(map(int, entry["left_out"])), int(entry["seed"])
        sound = entry["order"] == "shuffled" and count - len(set(left_out)) == samples and 0 <= seed < 1 << 64
        if sound and (not left_out or (min(left_out) >= 0 and max(left_out) < count)):
            return Shuffled(count, left_out, seed)
    except (TypeError, KeyError, ValueError):
        pass
    raise ValueError("its meta data name no order of storing that is known")


def _open(numbers: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers-th of all whole numbers that are not in `gaps`, which is sorted."""
    return numbers + np.searchsorted(gaps - np.arange(len(gaps)), numbers, side="right")


def _close(numbers: NDArray[np.int64], gaps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Undoes `_open`."""
    return numbers - np.searchsorted(gaps, numbers)
