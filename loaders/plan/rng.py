"""Keyed random numbers: pure functions of (seed, epoch, sample index, purpose), without a generator state.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section
3.3), with each of the four inputs in separate counter or key words. There is no arithmetic on seeds, so neighbouring
seeds, epochs, samples or purposes share no stream.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """The use of a random word. The meaning of a number never changes, because that would change users' batches.

    Numbers up to 255 belong to this package; 256 to 65535 are reserved for users.
    """

    ORDER = 0
    CROP = 1
    FLIP = 2
    REPLACE = 3
    AUGMENT = 4
    ERASE = 5
    MIX = 6
    REPLAY = 7
    NOISE = 8
    WEIGHTS = 9
    MASK = 10
    SAMPLE = 11
    THREE_AUGMENT = 12
    TRIVIAL_AUGMENT = 13
    COLOR_JITTER = 14
    GRAYSCALE = 15
    STORAGE = 16
    WINDOW = 17
    LARGE_ORDER = 18
    ACCESS = 19
    PER_SAMPLE = 20


INDEX_BITS = 48
"""Bits of a draw key that hold the sample index; the 15 above them hold the number of the copy."""
MAX_COPIES = 1 << 15


def draw_keys(indices: NDArray[np.int64], copies: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """The key of a sample's random numbers: its index and the number of the copy.

    An epoch may show a sample several times (sampling with replacement, repeated augmentation, several views); each
    copy needs different crops. The key of copy 0 is the plain index.

    Args:
        indices: sample indices, 0 to 2**48 - 1.
        copies: number of the copy, 0 to 2**15 - 1 (larger ones wrap around).
    """
    return indices | (np.asarray(copies, np.int64) % MAX_COPIES << INDEX_BITS)


def sample_indices(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sample indices of draw keys."""
    return keys & ((1 << INDEX_BITS) - 1)


def copy_numbers(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The copy numbers of draw keys."""
    return keys >> INDEX_BITS


_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], np.uint64)
_ROUNDS = np.arange(10, dtype=np.uint64)[:, None, None]


def philox(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Philox4x32-10 of many counters under one key.

    Args:
        counter: [4, m], each below 2**32 (kept in 64 bits, which hold the products).
        key: two 32-bit words.

    Returns:
        [4, m], each below 2**32.
    """
    # Words 0 and 2 are multiplied, 1 and 3 mixed in: two halves [2, m] need half as many NumPy calls as four rows.
    multiplied, mixed = counter[0::2], counter[1::2]
    for round_key in (np.array(key, np.uint64)[:, None] + _ROUNDS * _WEYL) & _LOW:
        product = (multiplied * _MULTIPLIERS)[::-1]
        multiplied = product >> _HALF
        multiplied ^= mixed
        multiplied ^= round_key
        mixed = product & _LOW
    return np.stack((multiplied, mixed), axis=1).reshape(4, -1)


def words(seed: int, epoch: int, indices: NDArray[np.int64], purpose: int, count: int) -> NDArray[np.uint32]:
    """Random words of some samples; row i depends on `indices[i]` and the scalars, not on the other rows.

    Args:
        seed: 0 to 2**64 - 1.
        epoch: 0 to 2**32 - 1.
        indices: sample indices or draw keys (see `draw_keys`), [n].
        purpose: a `Purpose`, or the user's own number from 256 to 65535.
        count: words per sample, up to 2**18; a larger count does not change the first words.

    Returns:
        [n, count]
    """
    _check(seed, epoch)
    blocks = -(-count // 4)
    index = np.asarray(indices, np.int64).astype(np.uint64)[:, None]
    counter = np.empty((4, len(index), blocks), np.uint64)
    counter[0] = index & _LOW
    counter[1] = index >> _HALF
    counter[2] = epoch
    counter[3] = np.arange(blocks) + (purpose << 16)
    drawn = philox(counter.reshape(4, -1), (seed & 0xFFFFFFFF, seed >> 32))
    return drawn.T.astype(np.uint32, order="C").reshape(len(index), 4 * blocks)[:, :count]


def sequence(seed: int, epoch: int, purpose: int, count: int) -> NDArray[np.uint64]:
    """[count] random 64-bit words for a whole epoch, computed fast; `seed`, `epoch` and `purpose` as in `words`.

    The raw output of NumPy's own Philox (4x64-10), which NumPy guarantees not to change, unlike
    `Generator.permutation`.
    """
    _check(seed, epoch)
    return np.random.Philox(key=np.array([seed, purpose << 32 | epoch], np.uint64)).random_raw(count)


def uniform(drawn: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Words as numbers in [0, 1), in steps of 2**-32."""
    return drawn * np.float64(2.0**-32)


def between(low: float, high: float, drawn: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Words as numbers in [low, high)."""
    return low + (high - low) * uniform(drawn)


def below(drawn: NDArray[np.uint32], bounds: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Words as integers from 0 to `bounds` - 1, bounds up to 2**31.

    Multiply and shift; the relative error of a probability is at most bounds / 2**32 (1e-5 for image sides).
    """
    return drawn.astype(np.int64) * bounds >> 32


def check_seed(seed: int) -> None:
    """Raises ValueError unless `seed` is from 0 to 2**64 - 1."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"`seed` must be an integer from 0 to 2**64 - 1, got {seed}; take `seed % 2**64`.")


def _check(seed: int, epoch: int) -> None:
    check_seed(seed)
    if not 0 <= epoch < 2**32:
        raise ValueError(f"`epoch` must be an integer from 0 to 2**32 - 1, got {epoch}; count epochs from 0.")
