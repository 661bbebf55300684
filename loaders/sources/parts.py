"""Several betons as one data set: the samples of the first part, then those of the second, and so on.

Parts that together hold a shuffled order are numbered like their source instead, see `beton.stored_order`.
"""

from __future__ import annotations

import glob
import os
import resource
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton.stored_order import Numbering
from ..errors import BadDataset
from .dataset import Dataset, Fetch, empty_entries
from .parts_manifest import PartEntry, by_manifest, is_beton
from .pyramid import entries_of
from .without import Without

_FILES, _OTHERS = 4, 512  # descriptors per open part, including a remote part's cache; and of the rest of the program


_Share = tuple[Dataset, NDArray[np.int64], NDArray[np.int64]]
"""A part, the rows of some samples in a request, and their indices in the part."""


class Parts(Dataset):
    """Betons of the same classes, fields and levels as one data set, in the order given.

    The *place* of a sample is its number counted through all parts.
    """

    def __init__(self, parts: Sequence[Dataset], path: str) -> None:
        """Takes ownership of the parts, and closes them if this raises.

        Args:
            parts: open betons, at least one.
            path: the name of the whole: a glob, a manifest, or the first part.

        Raises:
            BadDataset: a part does not match the others.
        """
        self.path, self._parts = path, list(parts)
        first = self._parts[0]
        try:
            for part in self._parts[1:]:
                _check_alike(part, first)
        except BadDataset:
            self.close()
            raise
        self.classes = max((part.classes for part in self._parts), key=len)
        self.ratios, self.fields = first.ratios, first.fields
        self.label_field, self.meta = first.label_field, first.meta
        self.kind = " and ".join(sorted({part.kind for part in self._parts}))
        sizes = [len(part) for part in self._parts]
        self._ends = np.cumsum(sizes)
        self._starts = np.cumsum([0, *sizes])
        self.image_bytes = sum(part.image_bytes for part in self._parts)
        self._numbering = Numbering([part.span for part in self._parts], sizes)
        stored = self._numbering or any(part.storage is not None for part in self._parts)
        self.storage = self if stored else None
        inside = any(part.storage is not None for part in self._parts)
        self.shuffled = None if inside else self._numbering.whole(len(self))
        _warn_of_overlaps(self._parts)

    @property
    def parts(self) -> list[Dataset]:
        """The parts, in order."""
        return list(self._parts)

    @property
    def file_bytes(self) -> int | None:
        """Bytes of all parts; None: some are elsewhere."""
        sizes = [part.file_bytes for part in self._parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        split = self._split(self._checked(indices))
        bounds = [part.bounds for part, _, _ in split if part.bounds is not None]
        if len(bounds) == len(split) > 0:
            # All rows in one call: a batch may have one sample from each of hundreds of parts.
            rows = _joined([part.index_rows(inside) for part, _, inside in split])
            entries, sound = entries_of(rows, np.repeat(np.stack(bounds), _counts(split), axis=0))
            if sound:
                return self._placed(entries, split)
        return self._each(split, "entries")

    def decode_entries(self, indices: ArrayLike) -> NDArray[np.void]:
        if self.originals is None:
            return self.entries(indices)
        return self._each(self._split(self._checked(indices)), "decode_entries")

    def _each(self, split: list[_Share], method: Literal["entries", "decode_entries"]) -> NDArray[np.void]:
        if not split:
            return empty_entries(0, len(self.ratios))
        return self._placed(_joined([getattr(part, method)(inside) for part, _, inside in split]), split)

    @staticmethod
    def _placed(entries: NDArray[np.void], split: list[_Share]) -> NDArray[np.void]:
        """Reorders the entries of the split to the requested order, and sets the file of each."""
        files = np.repeat([~part.fd if part.fd >= 0 else 0 for part, _, _ in split], _counts(split))
        entries["path"] += (entries["path"] == 0) * files[:, None]  # see `plan.records.ENTRY`
        placed = np.empty_like(entries)
        placed[np.concatenate([rows for _, rows, _ in split])] = entries
        return placed

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return self._numbering.indices(self._within_parts(positions, "indices"))

    def positions(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `plan.order.StorageOrder`."""
        return self._within_parts(self._numbering.places(indices), "positions")

    def places(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Places of these samples, [n].

        Raises:
            IndexError: an index is negative or not below `len`.
        """
        return self._numbering.places(self._checked(indices))

    def at_places(self, places: ArrayLike) -> NDArray[np.int64]:
        """Indices of the samples at these places, [n]. Raises as `places` does."""
        return self._numbering.indices(self._checked(places))

    def _within_parts(self, numbers: NDArray[np.int64], method: Literal["indices", "positions"]) -> NDArray[np.int64]:
        """Applies a method of each part's `storage` to its numbers. Parts are numbered in sequence."""
        found = numbers.copy()
        for part, rows, inside in self._at(numbers):
            if part.storage is not None:
                found[rows] += getattr(part.storage, method)(inside) - inside
        return found

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        indices = self._checked(indices)
        labels = np.empty(len(indices), np.int64)
        for part, rows, inside in self._split(indices):
            labels[rows] = part.labels(inside)
        return labels

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        values: list[Any] = [None] * len(indices)
        found: NDArray[Any] | list[Any] = []
        for part, rows, inside in self._split(indices):
            found = part.read_field(name, inside)
            for row, value in zip(rows.tolist(), found, strict=True):
                values[row] = value
        if not len(indices):
            return self._parts[0].read_field(name, indices)
        return np.stack(values) if isinstance(found, np.ndarray) else values

    def lease(self, indices: ArrayLike) -> object:
        return [part.lease(inside) for part, _, inside in self._split(self._checked(indices))]

    def fetch(self, indices: NDArray[np.int64], samples: NDArray[np.void]) -> Fetch | None:
        pieces = []
        for part, rows, inside in self._split(indices):
            some = samples[rows]
            if (piece := part.fetch(inside, some)) is not None:
                pieces.append((piece, rows, some))
        return _FetchedParts(pieces, samples) if pieces else None

    def announce(self, fields: Sequence[str]) -> None:
        for part in self._parts:
            part.announce(fields)

    def forget(self, index: int) -> bool:
        part, inside = self._find(index)
        return part.forget(inside)

    def name(self, index: int) -> str:
        part, inside = self._find(index)
        return part.name(inside)

    def names(self, indices: ArrayLike) -> list[str]:
        indices = self._checked(indices)
        names = [""] * len(indices)
        for part, rows, inside in self._split(indices):
            for row, name in zip(rows.tolist(), part.names(inside), strict=True):
                names[row] = name
        return names

    def read(self, index: int, level: int = 0) -> bytes:
        part, inside = self._find(index)
        return part.read(inside, level)

    def read_record(self, index: int, level: int) -> bytes:
        part, inside = self._find(index)
        return part.read_record(inside, level)

    def check_unchanged(self) -> None:
        for part in self._parts:
            part.check_unchanged()

    def expect_random_reads(self) -> None:
        for part in self._parts:
            part.expect_random_reads()

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def _find(self, index: int) -> tuple[Dataset, int]:
        ((part, _, inside),) = self._split(self._checked([index]))
        return part, int(inside[0])

    def _split(self, indices: NDArray[np.int64]) -> list[_Share]:
        """The samples of each part that holds any of these samples."""
        return self._at(self._numbering.places(indices))

    def _at(self, places: NDArray[np.int64]) -> list[_Share]:
        """As `_split`, for places."""
        at = np.searchsorted(self._ends, places, side="right")
        rows = np.argsort(at, kind="stable")
        at = at[rows]
        inside = places[rows] - self._starts[at]
        bounds = [*np.flatnonzero(np.diff(at, prepend=-1)).tolist(), len(at)]
        return [(self._parts[at[a]], rows[a:b], inside[a:b]) for a, b in pairwise(bounds)]


def _counts(split: list[_Share]) -> list[int]:
    return [len(rows) for _, rows, _ in split]


def _joined(arrays: list[NDArray[np.void]]) -> NDArray[np.void]:
    """`np.concatenate` for structured arrays of one type, without its slow comparison of types."""
    joined = np.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    end = 0
    for array in arrays:
        joined[end : (end := end + len(array))] = array
    return joined


class _FetchedParts:
    """The fetches of several parts for the samples of one plan."""

    def __init__(
        self, pieces: list[tuple[Fetch, NDArray[np.int64], NDArray[np.void]]], samples: NDArray[np.void]
    ) -> None:
        self._pieces, self._samples, self._here = pieces, samples, False
        self.bytes = sum(piece.bytes for piece, _, _ in pieces)

    def done(self) -> bool:
        return all(piece.done() for piece, _, _ in self._pieces)

    def wait(self) -> None:
        if self._here:  # rows that were replaced since then must not change
            return
        for piece, rows, some in self._pieces:
            piece.wait()
            self._samples[rows] = some
        self._here = True


def _warn_of_overlaps(parts: Sequence[Dataset]) -> None:
    """Warns of parts that hold the same section of a source's order, for example from two conversions in one folder."""
    spans = [
        (part.span.samples, part.span.seed, part.span.first, part.span.last, part.path) for part in parts if part.span
    ]
    for (*of, _, last, path), (*like, first, _, other) in pairwise(sorted(spans)):
        if of == like and first < last and path != other:  # a part that is listed twice is intended
            warnings.warn(
                f"{path} and {other} hold the same samples, if both were made of one source of {of[0]:,}; these come "
                "twice. Name the parts of one conversion, or its manifest",
                stacklevel=2,
            )
            return


def _check_alike(part: Dataset, first: Dataset) -> None:
    for what in ("classes", "ratios", "fields", "label_field"):
        mine, theirs = getattr(part, what), getattr(first, what)
        if what == "classes" and _numbers(mine) and _numbers(theirs):
            continue  # labels without names: each part knows only the numbers up to its own largest label
        if mine != theirs or (what == "fields" and list(mine) != list(theirs)):
            same = "levels (--levels)" if what == "ratios" else "options"
            raise BadDataset(
                f"{part.path}: does not belong to the same data set as {first.path}: its {what} are {_short(mine)}, "
                f"not {_short(theirs)}; convert both with the same {same}"
            )


def _numbers(classes: list[str]) -> bool:
    return classes == [str(k) for k in range(len(classes))]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def names_parts(data: object) -> bool:
    """Whether this refers to several betons: a glob, a manifest, or a list of paths of betons."""
    if isinstance(data, list | tuple):
        return len(data) > 0 and all(isinstance(p, str | os.PathLike) and is_beton(os.fspath(p)) for p in data)
    if not isinstance(data, str | os.PathLike):
        return False
    name = os.fspath(data)
    if name.endswith(".json"):
        return not os.path.isdir(name)
    return glob.has_magic(name) and is_beton(name) and not os.path.exists(name)


def open_parts(data: Any, open_beton: Callable[[str], Dataset]) -> Parts:
    """Opens parts that `names_parts` recognised. open_beton: opens one part.

    Raises:
        FileNotFoundError: no beton matches the pattern, or a part is missing.
        BadDataset: a part is damaged, does not match the manifest, or belongs to another data set.
    """
    if isinstance(data, list | tuple):
        paths = [os.path.expanduser(os.fspath(path)) for path in data]
        return opened(paths, None, f"{paths[0]} and {len(paths) - 1} more", open_beton)
    whole = os.path.expanduser(os.fspath(data))
    if not whole.endswith(".json"):
        if not (paths := sorted(glob.glob(whole))):
            raise FileNotFoundError(f"{whole}: no file of that pattern; `efficienttrain convert` makes betons")
        return opened(paths, None, whole, open_beton)
    manifest = Path(whole)

    def named(expected: list[PartEntry]) -> Parts:
        return opened([str(manifest.parent / part.path) for part in expected], expected, whole, open_beton)

    return by_manifest(whole, manifest.read_bytes, named)


def opened(
    paths: Sequence[str],
    expected: Sequence[PartEntry] | None,
    whole: str,
    open_beton: Callable[[str], Dataset],
    made: type[Parts] = Parts,
    at_once: int = 1,
) -> Parts:
    """Opens these parts, `at_once` at a time. See `open_parts`.

    expected: the manifest's entry for each part; whole: the name of the whole data set.

    Raises:
        BadDataset: a file differs from its entry in the manifest; see also `open_parts`.
    """
    _allow_files(_FILES * len(paths))
    found: list[Dataset] = []  # in the order in which they are open

    def one(k: int) -> Dataset:
        try:
            part = open_beton(paths[k])
        except FileNotFoundError:
            raise FileNotFoundError(f"{paths[k]}: no such file, a part of {whole}; copy it there") from None
        found.append(part)
        if expected is None:
            return part
        if difference := expected[k].difference(part):
            raise BadDataset(
                f"{part.path}: another file than {whole} names: {difference}; copy the right one, or make the manifest "
                "again with `efficienttrain parts merge`"
            )
        removed = expected[k].removed
        return Without(part, removed) if removed else part

    try:
        with ThreadPoolExecutor(at_once, "open") as pool:  # after an error, no further part is opened
            parts = list((map if at_once == 1 else pool.map)(one, range(len(paths))))
    except BaseException:
        for part in found:
            part.close()
        raise
    return made(parts, whole)


def _allow_files(count: int) -> None:
    """Raises the process's limit of open files if `count` more files would come near it and the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and count + _OTHERS > soft:
        wanted = count + _OTHERS if hard == resource.RLIM_INFINITY else min(hard, count + _OTHERS)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
