"""A shuffled order that is computed, not stored: a keyed permutation of 0 to n - 1.

Feistel rounds permute all numbers of a given number of bits; a result of n or more is permuted again until it is below
n ("cycle walking"; Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Computing a part of the
order, or of its inverse, takes time only for that part, and no memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .rng import words

_ROUNDS = 6  # three turns of both halves; part of the file format, see `beton.stored_order`
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93))  # odd constants with well mixed bits
_HALF = np.uint64(32)


class Permutation:
    """The numbers 0 to n - 1 in an order that depends on n, seed, epoch and purpose alone."""

    def __init__(self, n: int, seed: int, epoch: int, purpose: int) -> None:
        """
        Args:
            n: how many numbers, 0 to 2**48.
            seed, epoch, purpose: the key, see `rng.words`.
        """
        self.n, self.seed = n, seed
        bits = max(2, (n - 1).bit_length())
        self._low = np.uint64(bits // 2)
        self._masks = np.uint64((1 << bits - bits // 2) - 1), np.uint64((1 << bits // 2) - 1)
        drawn = words(seed, epoch, np.arange(_ROUNDS), purpose, 2).astype(np.uint64)
        self._keys = drawn[:, 0] << _HALF | drawn[:, 1]

    def __len__(self) -> int:
        return self.n

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers at these positions of the order, [m]; positions from 0 to n - 1."""
        return self._walk(positions, range(_ROUNDS))

    def inverse(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions of these numbers in the order, [m]; numbers from 0 to n - 1."""
        return self._walk(numbers, range(_ROUNDS)[::-1])

    def _walk(self, values: NDArray[np.int64], rounds: range) -> NDArray[np.int64]:
        found = self._rounds(np.asarray(values, np.int64).astype(np.uint64), rounds)
        outside = np.flatnonzero(found >= self.n)
        while len(outside):  # each pass leaves less than half of them outside, on average
            found[outside] = self._rounds(found[outside], rounds)
            outside = outside[found[outside] >= self.n]
        return found.astype(np.int64)

    def _rounds(self, values: NDArray[np.uint64], rounds: range) -> NDArray[np.uint64]:
        halves = [values >> self._low, values & self._masks[1]]
        for k in rounds:
            mixed = (halves[1 - k % 2] ^ self._keys[k]) * _MIX[0]
            mixed ^= mixed >> _HALF
            mixed *= _MIX[1]
            halves[k % 2] ^= mixed >> _HALF & self._masks[k % 2]
        return halves[0] << self._low | halves[1]
