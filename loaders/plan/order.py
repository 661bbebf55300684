"""The order of an epoch, each rank's share of it, and the replacements of samples that cannot be decoded.

The order of an epoch is global: the same for every world size and batch size. A `position` counts the samples that were
delivered to all ranks together, so an epoch resumes at `order[position:]`, even with another world size or batch size.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from ..values import in_range
from .pieces import LEAST_WINDOW, LargeRandom, QuasiRandom
from .rng import MAX_COPIES, Purpose, below, copy_numbers, draw_keys, sample_indices, sequence, words

LARGE = 1 << 21
"""Samples from which on a random order is computed piece by piece: sorting them would take half a second."""
TRIES = 16
"""Replacements that are tried before a loader gives up: if half of a data set is damaged, they all fail for one sample
in 65,536."""


class Order(Protocol):
    """A sequence of numbers: an array, or computed on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice | NDArray[np.int64], /) -> NDArray[np.int64]: ...


class StorageOrder(Protocol):
    """The order of the samples on the disk. Position p belongs to the p-th sample on the disk."""

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sample indices at these positions, [n]."""
        ...

    def positions(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of these samples, [n]."""
        ...


def epoch_order(n: int, seed: int, epoch: int, kind: str = "random", window: int = LEAST_WINDOW) -> Order:
    """The numbers 0 to n - 1, each once, in the order of one epoch.

    Args:
        n: samples.
        seed, epoch: the keys of the order, see `rng.words`.
        kind: "random" (every order equally likely), "sequential" (as numbered), or "quasi" (blocks of neighbours are
            shuffled, then the samples within each window).
        window: samples in a window of "quasi".

    Raises:
        ValueError: unknown `kind`.
    """
    if kind == "sequential":
        return np.arange(n)
    if kind == "random" and n > LARGE:
        return LargeRandom(n, seed, epoch)
    if kind == "random":
        return np.argsort(sequence(seed, epoch, Purpose.ORDER, n), kind="stable")
    if kind == "quasi":
        return QuasiRandom(n, seed, epoch, window)
    raise ValueError(f'`kind` must be "random", "sequential" or "quasi", got {kind!r}.')


@dataclass(frozen=True, eq=False, kw_only=True)
class Sampling:
    """The samples of an epoch, and their order.

    Raises:
        ValueError: an argument out of its range.
    """

    n: int
    """Samples in the data set."""
    seed: int
    kind: str = "random"
    """See `epoch_order`."""
    indices: NDArray[np.int64] | None = None
    """Sample indices to use, [m]; None: all."""
    weights: NDArray[np.float64] | None = None
    """Relative probability of each of `indices` (or of all samples), [m]: samples are drawn with replacement."""
    repeats: int = 1
    """Repeated augmentation (Hoffer et al., CVPR 2020; timm's `--aug-repeats`): each sample is repeated this many times
    in a row, with different crops, and an epoch shows 1 / `repeats` of the samples."""

    window: int = LEAST_WINDOW
    """Samples that "quasi" mixes at a time."""
    storage: StorageOrder | None = None
    """The samples' places in storage, for "quasi"; None: in the order of their indices (or of `indices`)."""

    def __post_init__(self) -> None:
        indices, weights = self.indices, self.weights
        if indices is not None and (outside := indices[(indices < 0) | (indices >= self.n)]).size:
            raise ValueError(f"`indices` must be from 0 to {self.n - 1}, got {outside[0]}.")
        if indices is not None and not indices.size:
            raise ValueError("`indices` must name at least one sample, got none.")
        in_range("aug_repeats", self.repeats, 1, MAX_COPIES)
        if weights is None:
            return
        if weights.shape != (len(self),):
            raise ValueError(f"`weights` must be {len(self)} numbers, one per sample, got shape {list(weights.shape)}.")
        if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise ValueError("`weights` must be finite and 0 or more, not all 0; a sample of weight 0 is never drawn.")

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that determine the order besides the seed, if they are not the default, in a short form."""
        found: dict[str, Any] = {}
        if self.kind == "quasi":
            found = {"window": self.window, "storage": "source" if self.storage is None else "shuffled"}
        if self.repeats > 1:
            found["aug_repeats"] = self.repeats
        for name, values in (("indices", self.indices), ("weights", self.weights)):
            if values is not None:
                found[name] = f"{len(values)} numbers, CRC-32 {zlib.crc32(values.tobytes()):08x}"
        return found

    @property
    def drawable(self) -> NDArray[np.int64] | None:
        """Sample indices that an epoch may show, in the order of `indices`; None: all."""
        if self.weights is None:
            return self.indices
        positive = np.flatnonzero(self.weights)
        return positive if self.indices is None else self.indices[positive]

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        """Draw keys of `indices`: a repeated index is another copy of the sample, with other crops."""
        assert self.indices is not None
        if np.bincount(self.indices, minlength=self.n).max() == 1:
            return self.indices
        return draw_keys(self.indices, occurrences(self.indices))

    @property
    def in_order(self) -> bool:
        """Whether every epoch shows the samples in index order."""
        return self.kind == "sequential" and self.weights is None

    def __len__(self) -> int:
        """Samples of an epoch, all ranks together."""
        return self.n if self.indices is None else len(self.indices)

    def order(self, epoch: int) -> Order:
        """The draw keys of one epoch's samples in order, [len]; see `rng.draw_keys`."""
        m = len(self)
        if self.weights is not None:
            drawn = self._drawn(epoch, -(-m // self.repeats))
            found = drawn if self.indices is None else self.indices[drawn]
            chosen = draw_keys(found, occurrences(found))
        else:
            order = epoch_order(m, self.seed, epoch, self.kind, self.window)
            walk = self.storage if self.kind == "quasi" else None
            if self.indices is None and self.repeats == 1:
                return order if walk is None else _Stored(order, walk)
            chosen = order[:]
            if self.indices is not None:
                chosen = self._subset(walk)[chosen]
            elif walk is not None:
                chosen = walk.indices(chosen)
        if self.repeats > 1:
            chosen = chosen[: -(-m // self.repeats)]
            turn = np.arange(len(chosen) * self.repeats) % self.repeats
            keys = np.repeat(chosen, self.repeats)
            chosen = draw_keys(sample_indices(keys), copy_numbers(keys) * self.repeats + turn)[:m]
        return chosen

    def _subset(self, walk: StorageOrder | None) -> NDArray[np.int64]:
        """Keys of `indices`, in the order of storage if there is one."""
        assert self.indices is not None
        return self._keys if walk is None else self._keys[np.argsort(walk.positions(self.indices), kind="stable")]

    def _drawn(self, epoch: int, count: int) -> NDArray[np.int64]:
        """[count] positions drawn with replacement by weight."""
        assert self.weights is not None
        steps = np.cumsum(self.weights)
        drawn = sequence(self.seed, epoch, Purpose.SAMPLE, count)
        found = np.searchsorted(steps, (drawn >> np.uint64(11)) * 2.0**-53 * steps[-1], side="right")
        return np.minimum(found, np.flatnonzero(self.weights)[-1])


@dataclass(frozen=True)
class _Stored:
    """The sample indices of an order of positions in storage."""

    order: Order
    storage: StorageOrder

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, part: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        return self.storage.indices(self.order[part])


def occurrences(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n]: the number of earlier occurrences of each value: [7, 3, 7, 7] gives [0, 0, 1, 2]."""
    by_value = np.argsort(values, kind="stable")
    ordered = values[by_value]
    first = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    counts = np.diff(first, append=len(values))
    found = np.empty(len(values), np.int64)
    found[by_value] = np.arange(len(values)) - np.repeat(first, counts)
    return found


@dataclass(frozen=True)
class Shares:
    """The division of an epoch's samples among the ranks.

    After each position follow the batches of all ranks, in the order of the ranks. If the remaining samples do not fill
    all batches, the last batch is smaller, and `uneven` determines the treatment of a remainder that does not divide:

    * "drop": the remainder, fewer samples than ranks, is left out; all ranks have equally many samples and batches.
    * "pad": samples from the start of the order fill up the last batch; all ranks have equally many samples, and a mask
      marks the repeated ones.
    * "keep": lower ranks take one sample more, so that each sample is seen once. If the remainder has fewer samples
      than ranks, the batch before it gives up some, so that every rank has a last batch: a network that communicates
      in each forward pass (FSDP) would wait for ever for a rank with fewer batches. The last ranks have one batch less
      only if there are fewer samples than ranks, or `batch_size` is 1.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    """Leave out the last batch unless it is full on every rank."""
    uneven: str = "keep"

    def steps(self, n: int, position: int = 0) -> int:
        """Remaining batches of this rank, for an epoch of `n` samples and from `position` on."""
        full, rest = divmod(n - position, self.batch_size * self.world_size)
        if self.drop_last or not rest:
            return full
        if self.uneven == "keep":
            return full + (rest > self.rank or self._levels(n - position))
        return full + (self.uneven == "pad" or rest >= self.world_size)

    def check_steps(self, n: int) -> None:
        """Raises ValueError if an epoch of `n` samples has no batch."""
        if not self.most_steps(n):
            raise ValueError(
                f"an epoch must have at least one batch, got {n} samples for `batch_size` = {self.batch_size} on "
                f"{self.world_size} rank{'s' * (self.world_size > 1)} with `drop_last` = {self.drop_last}; pass a "
                "smaller `batch_size` or `drop_last=False`."
            )

    def rest(self, n: int, position: int = 0) -> int:
        """Samples of the last batch on all ranks together if it is smaller than the other batches, else 0."""
        if self._levels(n - position):
            return self.world_size
        return 0 if self.drop_last else (n - position) % (self.batch_size * self.world_size)

    def most_steps(self, n: int, position: int = 0) -> int:
        """Remaining batches of the rank with the most, which is the first rank."""
        return replace(self, rank=0).steps(n, position)

    def _levels(self, left: int) -> bool:
        """Whether the batch before the last one is smaller, so that all ranks have a last one. left: samples."""
        full, rest = divmod(left, self.batch_size * self.world_size)
        possible = full > 0 and self.batch_size > 1
        return self.uneven == "keep" and not self.drop_last and possible and 0 < rest < self.world_size

    def place(self, at: int, position: int, n: int) -> int:
        """Position of the batches that follow `at` others of all ranks, which began at `position`."""
        place, last = position + at * self.batch_size * self.world_size, n - self.world_size
        return last if last < place < n and self._levels(n - position) else min(place, n)

    def slice(self, position: int, n: int) -> slice:
        """The place of this rank's next batch in the order; with "pad", it may reach beyond `n`."""
        share, extra = divmod(self.place(1, position, n) - position, self.world_size)
        if self.uneven == "keep":
            start = position + self.rank * share + min(self.rank, extra)
            return slice(start, start + share + (self.rank < extra))
        share += self.uneven == "pad" and extra > 0
        start = position + self.rank * share
        return slice(start, start + share)

    def mask(self, position: int, n: int) -> NDArray[np.bool_] | None:
        """[share]: False for each sample of the batch at `position` that only fills it up; None: all count."""
        if self.uneven != "pad":
            return None
        part = self.slice(position, n)
        return np.arange(part.start, part.stop) < n if part.stop > n else None


class Batches(Sequence[NDArray[np.int64]]):
    """The draw keys of a rank's remaining batches in an epoch; computed from the order on demand."""

    def __init__(self, order: Order, shares: Shares, position: int = 0, views: int = 1) -> None:
        """
        Args:
            order: draw keys of the whole epoch, see `Sampling.order`.
            shares: the division among the ranks.
            position: samples of the epoch that were delivered before.
            views: crops of each sample in a batch: all samples' first view, then all samples' second view, ...
        """
        self._order, self._shares, self._position, self._views = order, shares, position, views
        self._steps = shares.steps(len(order), position)

    def __len__(self) -> int:
        return self._steps

    def masks(self) -> Iterator[NDArray[np.bool_] | None]:
        """Of each batch: `Shares.mask`."""
        for at in range(self._steps):
            yield self._shares.mask(self._position_of(at), len(self._order))

    def _position_of(self, at: int) -> int:
        """Position of a batch in the epoch."""
        return self._shares.place(at, self._position, len(self._order))

    @overload
    def __getitem__(self, at: int) -> NDArray[np.int64]: ...
    @overload
    def __getitem__(self, at: slice) -> list[NDArray[np.int64]]: ...
    def __getitem__(self, at: int | slice) -> NDArray[np.int64] | list[NDArray[np.int64]]:
        if isinstance(at, slice):
            return [self[k] for k in range(self._steps)[at]]
        part = self._shares.slice(self._position_of(range(self._steps)[at]), len(self._order))
        keys = self._order[part]
        if part.stop > len(self._order):
            keys = self._order[np.arange(part.start, part.stop) % len(self._order)]
        if self._views == 1:
            return keys
        copies = copy_numbers(keys) * self._views
        return np.concatenate([draw_keys(sample_indices(keys), copies + view) for view in range(self._views)])


def replacements(seed: int, epoch: int, index: int, n: int) -> list[int]:
    """Sample indices, 0 to n - 1, to try in order instead of `index`; the same in every process and at every call."""
    drawn = words(seed, epoch, np.array([index]), Purpose.REPLACE, TRIES)
    return [int(i) for i in below(drawn, n)[0]]
