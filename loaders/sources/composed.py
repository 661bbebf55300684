"""Sources made of others: some of the samples of one, as torch's `Subset`, or several in a row, as `ConcatDataset`."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from .source import FileRange, Indexed, Sample, Source, extras, indexable


class Selected(Indexed):
    """The samples of a source that have these numbers, in this order."""

    def __init__(self, source: Source, numbers: Sequence[int]) -> None:
        """numbers: positions in the source; negative ones count from its end.

        Raises:
            ValueError: a position that the source does not have, or it cannot be read in any order.
        """
        self.path, self.classes, self.fields = f"a Subset of {source.path}", source.classes, source.fields
        count = len(source)
        wrong = next((k for k in numbers if not -count <= k < count), None)
        if wrong is not None:
            raise ValueError(f"{self.path}: its indices must be below {count}, the samples there are, got {wrong}")
        if not indexable(source):
            raise ValueError(f"{self.path}: samples that can only be read one after the other cannot be selected")
        self._source, self._numbers = source, np.asarray(numbers, np.int64).reshape(-1) % max(count, 1)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Sample:
        return self._source[int(self._numbers[index])]

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
