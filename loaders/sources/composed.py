"""Sources made of others: some samples of one, as torch's `Subset` has, or several in a row, as `ConcatDataset`."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

import numpy as np

from .source import FileRange, Indexed, Sample, Source, extras, indexable


class Excerpt(Indexed):
    """Some samples of a source. A subclass defines which and how many, and the fingerprint."""

    def __init__(self, source: Source) -> None:
        self.path, self.classes, self.fields = source.path, source.classes, source.fields
        self._source = source

    @abstractmethod
    def _place(self, index: int) -> int:
        """The number in the source of one of the samples."""

    @property
    def indexable(self) -> bool:
        """See `Extras`."""
        return indexable(self._source)

    def __getitem__(self, index: int) -> Sample:
        sample: Sample = self._source[self._place(index)]  # type: ignore[index]
        return sample


class Limited(Excerpt):
    """A given number of evenly spaced samples of a source, so that a small trial still covers the classes."""

    def __init__(self, source: Source, limit: int) -> None:
        """limit: at least 1, at most the samples of the source."""
        super().__init__(source)
        self._limit = limit

    def __len__(self) -> int:
        return self._limit

    def _place(self, index: int) -> int:
        return index * len(self._source) // self._limit

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The source's samples at positions k * len(source) // limit."""
        if self.indexable:
            yield from super().samples(start)
            return
        for place, sample in enumerate(islice(self._source.samples(), self._place(self._limit - 1) + 1)):
            if place == self._place(start):
                yield sample
                start += 1

    def fingerprint(self) -> str:
        """The source's fingerprint, with the limit."""
        return f"{self._source.fingerprint()} {self._limit} of {len(self._source)}"


class Selected(Excerpt):
    """The samples of a source that have these numbers, in this order."""

    def __init__(self, source: Source, numbers: Sequence[int]) -> None:
        """numbers: positions in the source; negative ones count from its end.

        Raises:
            ValueError: a position that the source does not have, or it cannot be read in any order.
        """
        super().__init__(source)
        self.path, count = f"a Subset of {source.path}", len(source)
        wrong = next((k for k in numbers if not -count <= k < count), None)
        if wrong is not None:
            raise ValueError(f"{self.path}: its indices must be below {count}, the samples there are, got {wrong}")
        if not indexable(source):
            raise ValueError(f"{self.path}: samples that can only be read one after the other cannot be selected")
        self._numbers = np.asarray(numbers, np.int64).reshape(-1) % max(count, 1)

    def __len__(self) -> int:
        return len(self._numbers)

    def _place(self, index: int) -> int:
        return int(self._numbers[index])

    @property
    def labels(self) -> list[Any] | None:
        """The labels of all samples, if the source lists its own."""
        listed = extras(self._source).labels
        return None if listed is None else [listed[k] for k in self._numbers.tolist()]

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return f"{self._source.fingerprint()} {hashlib.sha256(self._numbers.tobytes()).hexdigest()}"


class Joined(Indexed):
    """The samples of several sources, one source after the other."""

    def __init__(self, sources: Sequence[Source], labelled: bool = True) -> None:
        """labelled: the labels are wanted, so their numbers must mean the same in each source.

        Raises:
            ValueError: the sources have other fields or other classes than the first, or cannot be read in any order.
        """
        self.path = f"a ConcatDataset of {' and '.join(sorted({source.path for source in sources}))}"
        for what in ("fields", "classes") if labelled else ("fields",):
            first = getattr(sources[0], what)
            other = next((getattr(source, what) for source in sources if getattr(source, what) != first), first)
            if other != first:
                raise ValueError(
                    f"{self.path}: all parts must have the same {what}, got {', '.join(first) or 'none'} and "
                    f"{', '.join(other) or 'none'}; give a list of (image, class name) instead"
                )
        self._sources = list(filter(indexable, sources))
        if len(self._sources) < len(sources):
            raise ValueError(f"{self.path}: samples that can only be read one after the other cannot be joined")
        self.classes, self.fields = sources[0].classes if labelled else [], sources[0].fields
        self._ends = list(accumulate(map(len, sources)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Sample:
        part = bisect_right(self._ends, index)
        start = self._ends[part - 1] if part else 0
        sample = self._sources[part][index - start]
        if isinstance(sample.image, FileRange) and sample.name == sample.image.path:
            return sample
        return sample._replace(name=f"{sample.name} of part {part}")

    @property
    def labels(self) -> list[Any] | None:
        """The labels of all samples, if all sources list theirs."""
        labels: list[Any] = []
        for source in self._sources:
            listed = extras(source).labels
            if listed is None:
                return None
            labels += listed
        return labels

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return " ".join(f"{len(source)} {source.fingerprint()}" for source in self._sources)
