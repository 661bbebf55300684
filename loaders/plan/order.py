"""Which sample comes when, and which rank takes it.

The order of an epoch is global: the same for every world size and batch size. A `position` counts the samples
of it that all ranks together have been given, so an epoch goes on at `order[position:]`, whatever the world
size and the batch size are by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from .rng import Purpose, sequence

BLOCK = 64
"""Neighbouring samples that quasi-random order keeps near each other: some 6 MB of ImageNet in one go."""
WINDOW = 32
"""Blocks that quasi-random order mixes at a time: some 190 MB of ImageNet, and as many classes as blocks."""


def epoch_order(n: int, seed: int, epoch: int, kind: str = "random", block: int = BLOCK) -> NDArray[np.int64]:
    """The sample indices 0 to n - 1, each once, in the order of one epoch.

    Args:
        n: samples.
        seed, epoch: what the order depends on, see `draws.words`.
        kind: "random" (every order equally likely), "sequential" (as stored), or "quasi" (for data larger
            than memory: blocks of neighbours are shuffled, then the samples within each `WINDOW` blocks).
        block: samples in a block of "quasi".

    Raises:
        ValueError: unknown `kind`.
    """
    if kind == "sequential":
        return np.arange(n)
    if kind == "random":
        return np.argsort(sequence(seed, epoch, Purpose.ORDER, n), kind="stable")
    if kind == "quasi":
        blocks = -(-n // block)
        drawn = sequence(seed, epoch, Purpose.ORDER, blocks + n)
        window = np.empty(blocks, np.int64)
        window[np.argsort(drawn[:blocks], kind="stable")] = np.arange(blocks) // WINDOW
        # A full shuffle, then grouped by window: a stable sort keeps the samples of a window shuffled.
        order = np.argsort(drawn[blocks:], kind="stable")
        return order[np.argsort(window[order // block], kind="stable")]
    raise ValueError(f'`kind` must be "random", "sequential" or "quasi", got {kind!r}.')


def batch_slice(position: int, n: int, batch_size: int, rank: int = 0, world_size: int = 1) -> slice:
    """Where in the epoch's order one rank's next batch lies.

    The ranks' batches lie side by side after `position`, in order of rank. Where fewer samples are left than
    all ranks could take, they are shared out evenly, each once, lower ranks taking one more where they do not
    divide; with fewer samples left than ranks, the last ranks get an empty slice.
    """
    left = min(n - position, batch_size * world_size)
    share, extra = divmod(left, world_size)
    start = position + rank * share + min(rank, extra)
    return slice(start, start + share + (rank < extra))


def next_position(position: int, n: int, batch_size: int, world_size: int = 1) -> int:
    """The position after all ranks have been given the batch at `position`."""
    return min(position + batch_size * world_size, n)


def steps_per_epoch(
    n: int, batch_size: int, world_size: int = 1, drop_last: bool = False, position: int = 0, rank: int = 0
) -> int:
    """Batches that a rank still gets in this epoch, counted from `position`.

    With `drop_last` the same for all ranks: only batches that are full on every one of them. Else the last
    ranks get one less where the last samples are too few to go round.
    """
    full, rest = divmod(n - position, batch_size * world_size)
    return full + (not drop_last and rest > rank)


class Batches(Sequence[NDArray[np.int64]]):
    """Sample indices of each batch that a rank still gets in an epoch; cut from the order when asked for."""

    def __init__(
        self,
        order: NDArray[np.int64],
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        position: int = 0,
    ) -> None:
        """Arguments as of `epoch_order`'s result, `batch_slice` and `steps_per_epoch`."""
        self._order, self._batch_size, self._rank, self._world_size = order, batch_size, rank, world_size
        self._position = position
        self._steps = steps_per_epoch(len(order), batch_size, world_size, drop_last, position, rank)

    def __len__(self) -> int:
        return self._steps

    @overload
    def __getitem__(self, at: int) -> NDArray[np.int64]: ...
    @overload
    def __getitem__(self, at: slice) -> list[NDArray[np.int64]]: ...
    def __getitem__(self, at: int | slice) -> NDArray[np.int64] | list[NDArray[np.int64]]:
        if isinstance(at, slice):
            return [self[k] for k in range(self._steps)[at]]
        position = self._position + range(self._steps)[at] * self._batch_size * self._world_size
        return self._order[batch_slice(position, len(self._order), self._batch_size, self._rank, self._world_size)]
