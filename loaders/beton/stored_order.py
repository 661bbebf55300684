"""The order in which a pyramid stores its samples; sample indices do not depend on it.

Sample indices follow the source. Records are stored in a shuffled order, so that any sequence of neighbours on the disk
is a fair sample of the whole set, even if the source is sorted by class. `plan.permutation` computes the order from the
entry `storage` of the pyramid's meta data:

    {"order": "shuffled", "samples": of the source, "left_out": their numbers without a record, "seed": SEED}

Without that entry, records are stored in the order of their indices.

A part of a larger set holds a section of that set's shuffled order. Its entry `span` describes the section:

    {"samples": of the whole source, "first": position, "last": position behind it, "left_out": ..., "seed": SEED}

If a part is opened alone, its samples are numbered in this order. Opened together, parts have the source's indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..plan.permutation import Permutation
from ..plan.rng import Purpose
from .gaps import Gaps, Members, Renumbering

SEED = 0
"""The key of all stored orders. Fixed, so that the same source always gives the same file."""


def permutation(samples: int, seed: int = SEED) -> Permutation:
    """The source's samples in the order in which they are stored."""
    return Permutation(samples, seed, 0, Purpose.STORAGE)


class Shuffled:
    """The order of a pyramid that was stored shuffled. Samples of the source without a record have no position."""

    def __init__(self, samples: int, left_out: ArrayLike = (), seed: int = SEED) -> None:
        """
        Args:
            samples: of the source.
            left_out: numbers of the source's samples that have no record.
        """
        left_out = np.asarray(left_out, np.int64)
        self._order = permutation(samples, seed)
        self._numbers: Renumbering = Gaps(left_out)  # of the source's samples that have a record
        self._places: Renumbering = Gaps(self._order.inverse(left_out))  # their positions in the order of all samples

    @classmethod
    def of(cls, samples: int, seed: int, numbers: Renumbering, places: Renumbering) -> Shuffled:
        """The order, given the samples that have a record: their numbers in the source, and places in its order."""
        order = cls(samples, seed=seed)
        order._numbers, order._places = numbers, places
        return order

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return self._numbers.ranks(self._order(self._places.present(positions)))

    def positions(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return self._places.ranks(self._order.inverse(self._numbers.present(indices)))

    def spans(self, ends: Sequence[int]) -> list[Span]:
        """Consecutive sections of the order, one per part. ends: position behind each section, rising to the end."""
        bounds = [0, *self._places.present(np.array(ends[:-1], np.int64)).tolist(), len(self._order)]
        samples, seed = len(self._order), self._order.seed
        return [
            Span(samples, first, last, tuple(sorted(self._order(self._places.missing(first, last)).tolist())), seed)
            for first, last in pairwise(bounds)
        ]


def described(samples: int, left_out: Sequence[int]) -> dict[str, Any]:
    """The meta data's entry `storage` of a pyramid that is stored shuffled."""
    return {"order": "shuffled", "samples": samples, "left_out": sorted(left_out), "seed": SEED}


def parse(meta: dict[str, Any], samples: int) -> Shuffled | None:
    """The order that a pyramid's meta data describe; None: the order of the indices.

    Args:
        samples: of the pyramid.

    Raises:
        ValueError: the entry does not match this number of samples.
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
    raise ValueError("its meta data name an unknown storage order")


@dataclass(frozen=True)
class Span:
    """The section of a shuffled order that a part holds.

    Attributes:
        samples: of the whole source.
        first, last: positions in the order of all samples, from `first` to `last` - 1.
        left_out: numbers in the source of the part's samples without a record.
        seed: key of the order.
    """

    samples: int
    first: int
    last: int
    left_out: tuple[int, ...] = ()
    seed: int = SEED

    def __len__(self) -> int:
        """Samples of the part."""
        return self.last - self.first - len(self.left_out)

    def numbers(self) -> NDArray[np.int64]:
        """Numbers in the source of all samples of the section, including those without a record, in order."""
        return permutation(self.samples, self.seed)(np.arange(self.first, self.last))

    def without(self, indices: Iterable[int]) -> Span:
        """The span without the records of some more samples, given by their indices in the part."""
        kept = self.numbers()
        kept = kept[~np.isin(kept, self.left_out)]
        return replace(self, left_out=tuple(sorted([*self.left_out, *kept[list(indices)].tolist()])))

    def described(self) -> dict[str, Any]:
        """The meta data's entry `span`."""
        return {**asdict(self), "left_out": list(self.left_out)}


def parse_span(meta: dict[str, Any], samples: int) -> Span | None:
    """The span that a pyramid's meta data describe; None: it is not such a part.

    Args:
        samples: of the pyramid.

    Raises:
        ValueError: the entry does not match this number of samples.
    """
    entry = meta.get("span")
    if entry is None:
        return None
    try:
        samples_of, first, last, seed = (int(entry[name]) for name in ("samples", "first", "last", "seed"))
        span = Span(samples_of, first, last, tuple(sorted(set(map(int, entry["left_out"])))), seed)
        sound = 0 <= first < last <= samples_of and len(span) == samples and 0 <= seed < 1 << 64
        if sound and _held(span):
            return span
    except (TypeError, KeyError, ValueError):
        pass
    raise ValueError("its meta data do not name a part of a shuffled order")


def _held(span: Span) -> bool:
    """Whether all samples that are left out lie in the section."""
    if not span.left_out:
        return True
    if not 0 <= span.left_out[0] <= span.left_out[-1] < span.samples:
        return False
    places = permutation(span.samples, span.seed).inverse(np.array(span.left_out, np.int64))
    return bool(((places >= span.first) & (places < span.last)).all())


class Numbering:
    """Sample indices of several parts in sequence.

    Adjacent parts whose spans follow one another in the same order are numbered as in their source; missing samples
    leave no gap. All other parts are numbered one after the other.
    """

    def __init__(self, spans: Sequence[Span | None], sizes: Sequence[int]) -> None:
        """
        Args:
            spans: of each part; None: it has none.
            sizes: samples of each part.
        """
        self._runs: list[tuple[int, int, Shuffled]] = []  # start and end of the places, and the order of the source
        row: list[Span] = []
        start = end = 0
        for span, size in zip([*spans, None], [*sizes, 0], strict=True):
            if row and not _follows(span, row[-1]):
                self._runs.append((start, end, _joined(row)))
                row = []
            if span is not None:
                start = start if row else end
                row.append(span)
            end += size

    def __bool__(self) -> bool:
        """Whether the index of any sample differs from its place."""
        return bool(self._runs)

    def indices(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sample indices at these places, [n]."""
        return self._mapped(places, Shuffled.indices)

    def places(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of these samples, [n]."""
        return self._mapped(indices, Shuffled.positions)

    def whole(self, samples: int) -> Shuffled | None:
        """The order that all samples follow, given their number; None: they have no common order."""
        runs = self._runs
        return runs[0][2] if len(runs) == 1 and runs[0][:2] == (0, samples) else None

    def _mapped(self, numbers: NDArray[np.int64], method: Any) -> NDArray[np.int64]:
        found = numbers
        for start, end, order in self._runs:
            inside = (numbers >= start) & (numbers < end)
            if inside.any():
                found = found.copy() if found is numbers else found
                found[inside] = start + method(order, numbers[inside] - start)
        return found


def _follows(span: Span | None, before: Span) -> bool:
    """Whether a span belongs to the same order as the one before, and comes after it."""
    if span is None or (span.samples, span.seed) != (before.samples, before.seed):
        return False
    return span.first >= before.last


def _joined(row: Sequence[Span]) -> Shuffled:
    """The order of the samples that these spans hold together, in order of their positions.

    It lists the present samples or the missing ones, whichever are fewer, because a set may be opened by only a few of
    its parts.
    """
    samples, seed = row[0].samples, row[0].seed
    order = permutation(samples, seed)
    bounds = np.array([0, *(end for span in row for end in (span.first, span.last)), samples])
    left_out = np.array([number for span in row for number in span.left_out], np.int64)
    if 2 * sum(map(len, row)) > samples:
        places = np.concatenate([np.arange(*run) for run in bounds.reshape(-1, 2)])
        numbers = np.append(order(places), left_out)
        return Shuffled.of(samples, seed, Gaps(numbers), Gaps(np.append(places, order.inverse(left_out))))
    places = np.concatenate([np.arange(*run) for run in bounds[1:-1].reshape(-1, 2)])
    numbers = order(places)
    there = ~np.isin(numbers, left_out)
    return Shuffled.of(samples, seed, Members(numbers[there]), Members(places[there]))
