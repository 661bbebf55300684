"""Orders of an epoch that are computed piece by piece, when a batch needs them: for sets of many million samples.

No array of the data set's size is sorted or kept, so the first batch does not wait, also when an epoch is resumed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from .permutation import Permutation
from .rng import Purpose, sequence, words

BLOCK = 64
"""Neighbours in storage that quasi-random order keeps in one window: about 7 MB of ImageNet at full size."""
WINDOW_BYTES = 1 << 30
"""Bytes of full-size images that quasi-random order mixes at a time."""
LEAST_WINDOW = 2048
"""Smallest number of samples in a window, even if they are large."""
_PIECE = 8192  # samples of a large random order that are computed together
_HALF = np.uint64(32)


class Pieces(ABC):
    """The numbers 0 to n - 1 in some order, read like an array: `order[slice]` or `order[positions]`."""

    def __init__(self, n: int, starts: NDArray[np.int64]) -> None:
        """starts: position of each piece's first number, rising from 0."""
        self._n, self._starts = n, starts
        self._last: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, part: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        positions = np.arange(*part.indices(self._n)) if isinstance(part, slice) else np.asarray(part, np.int64)
        pieces = np.searchsorted(self._starts, positions, side="right") - 1
        numbers = np.empty(len(positions), np.int64)
        for k in np.unique(pieces).tolist():
            here = pieces == k
            numbers[here] = self._kept(k)[positions[here] - self._starts[k]]
        return numbers

    def _kept(self, k: int) -> NDArray[np.int64]:
        last, numbers = self._last
        if last != k:
            numbers = self._piece(k)
            self._last = k, numbers
        return numbers

    @abstractmethod
    def _piece(self, k: int) -> NDArray[np.int64]:
        """The numbers of one piece, in order."""


class LargeRandom(Pieces):
    """A random order of very many samples: a keyed permutation, see `plan.permutation`."""

    def __init__(self, n: int, seed: int, epoch: int) -> None:
        """seed, epoch: the keys of the order, see `rng.words`."""
        super().__init__(n, np.arange(0, max(n, 1), _PIECE))
        self._permutation = Permutation(n, seed, epoch, Purpose.LARGE_ORDER)

    def _piece(self, k: int) -> NDArray[np.int64]:
        return self._permutation(np.arange(k * _PIECE, min((k + 1) * _PIECE, self._n)))


class QuasiRandom(Pieces):
    """Blocks of neighbours in random order; within a window of several blocks, all samples in random order."""

    def __init__(self, n: int, seed: int, epoch: int, window: int) -> None:
        """
        Args:
            seed, epoch: the keys of the order, see `rng.words`.
            window: samples of a window, rounded down to whole blocks, at least one.
        """
        blocks = -(-n // BLOCK)
        self._blocks = np.argsort(sequence(seed, epoch, Purpose.ORDER, blocks), kind="stable")
        self._together = max(1, window // BLOCK)
        self._key = seed, epoch
        sizes = np.minimum(BLOCK, n - self._blocks * BLOCK)
        super().__init__(n, (np.cumsum(sizes) - sizes)[:: self._together])

    def _piece(self, k: int) -> NDArray[np.int64]:
        blocks = self._blocks[k * self._together : (k + 1) * self._together]
        members = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        members = members[members < self._n]
        drawn = words(*self._key, members, Purpose.WINDOW, 2).astype(np.uint64)
        return members[np.argsort(drawn[:, 0] << _HALF | drawn[:, 1], kind="stable")]


def window_of(samples: int, image_bytes: int) -> int:
    """Samples that quasi-random order mixes at a time: a power of two, about `WINDOW_BYTES` at full size.

    The window does not depend on the resolution, because an epoch may be resumed at another resolution.

    Args:
        samples: of the data set.
        image_bytes: bytes of all their full-size images; 0: neighbours are not read faster, so all samples are mixed.
    """
    if not image_bytes:
        return max(samples, 1)
    count = WINDOW_BYTES * samples // image_bytes
    return max(LEAST_WINDOW, 1 << max(count, 1).bit_length() - 1)
