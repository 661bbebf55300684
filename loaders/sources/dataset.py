"""The interface of every data set: its samples, the place of each of their levels, and their fields."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton.fields import ORIGINAL, FieldType
from ..beton.stored_order import Span
from ..beton.tables import read_exactly
from ..errors import BadDataset
from ..plan.order import StorageOrder
from ..plan.records import ENTRY, table_bytes

_BLOCK = 1 << 16  # labels read at a time when all are counted


class Fetch(Protocol):
    """Bytes of samples on their way. They stay valid as long as this object lives.

    Attributes:
        bytes: that it holds in memory.
    """

    bytes: int

    def done(self) -> bool:
        """Whether `wait` would return, or raise its error, at once."""
        ...

    def wait(self) -> None:
        """Returns when the bytes are here and the samples name them. Harmless when called again.

        Raises:
            LoaderError: they cannot be had.
        """
        ...


class Dataset(ABC):
    """A data set at rest. Opening one reads no image.

    Attributes:
        path: the file or folder.
        fd: file descriptor that records are read from; -1 if each sample is a file of its own.
        classes: class names; a label is a position in it. Empty if labels are no classes.
        ratios: side of each stored level / full side, 1.0 first.
        fields: stored fields beside the image, by name, in file order. An image folder has `label` only.
        label_field: name of the int field that `labels` returns; None: the samples have no class label.
    """

    path: str
    fd: int = -1
    classes: list[str]
    ratios: tuple[float, ...]
    fields: dict[str, FieldType]
    label_field: str | None = "label"
    meta: dict[str, Any] | None = None
    """How a pyramid was made; None: this is no pyramid."""
    _closing: weakref.finalize[..., Any] | None = None
    immutable: bool = False
    """The file is known not to change: `check_unchanged` need not look."""
    image_bytes: int = 0
    """About the bytes of all full-size images, if neighbours lie together on the disk; 0: they do not."""
    storage: StorageOrder | None = None
    """The samples' places in storage; None: in the order of their indices."""
    span: Span | None = None
    """The part of a larger set's order that this is; None: it is no such part."""
    together: int = 0
    """Samples to plan together, so that neighbours among them are fetched by one request; less than a batch: each
    batch alone; 0: it does not matter."""
    bounds: NDArray[np.int64] | None = None
    """Where the records of each level begin and end in the file, [2, levels], if `index_rows` can be read."""
    _stamp: tuple[int, int] | None = None  # size and modification time of the file when its tables were last checked

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        """The place of each level of each sample: ENTRY [n, levels].

        Raises:
            IndexError: an index is negative or not below `len`.
            BadDataset: the file contradicts itself.
        """

    def index_rows(self, _indices: ArrayLike) -> NDArray[np.void]:
        """Index rows [n] of samples as a pyramid stores them, see `bounds`. Raises as `entries` does."""
        raise NotImplementedError(f"{type(self).__name__} has no index")

    def decode_entries(self, indices: ArrayLike) -> NDArray[np.void]:
        """The records to decode: `entries`, with a kept original file in place of level 0.

        Raises:
            IndexError, BadDataset: see `entries`.
        """
        return self.entries(indices)

    @abstractmethod
    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Class of each sample, int64 [n]; -1 for each if `label_field` is None.

        Raises:
            IndexError: an index is negative or not below `len`.
        """

    _positions: NDArray[np.int64] | None = None  # of the stored classes in `classes`, after `use_classes`

    def use_classes(self, classes: Sequence[str]) -> None:
        """Numbers the labels by this list of class names: a validation set's, as the training set's are numbered.

        Raises:
            ValueError: a name occurs twice, or a class of the data set is not in the list.
        """
        wanted, missing = list(classes), sorted(set(self.classes) - set(classes))
        if len(set(wanted)) < len(wanted):
            raise ValueError(f"{self.path}: `classes` must be different names, got {len(wanted)} with duplicates.")
        if missing:
            raise ValueError(
                f"{self.path}: `classes` (for validation, those of the training set) must name every class of the data "
                f"set, it lacks {', '.join(missing[:5])}"
                f"{' and others' * (len(missing) > 5)}."
            )
        place = {name: label for label, name in enumerate(wanted)}
        self._positions = np.array([place[name] for name in self.classes], np.int64)
        self.classes = wanted

    def numbered(self, stored: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels as they are stored, numbered as `use_classes` has them."""
        return stored if self._positions is None else self._positions[stored]

    def read_field(self, name: str, indices: ArrayLike) -> NDArray[Any] | list[Any]:
        """Values of one stored field, in the order of `indices`.

        Returns:
            int: int64 [n]; float: float64 [n]; array: [n, *shape] of the field's dtype; bytes, json, mask: a list of n;
            boxes, points: a list of float32 [m, 4] or [m, 2].

        Raises:
            ValueError: no field of that name.
            IndexError: an index is negative or not below `len`.
            BadDataset: the stored bytes are damaged.
        """
        if name not in self.fields:
            raise ValueError(f"{self.path}: has the fields {', '.join(self.fields) or '(none)'}, got {name!r}")
        if name == self.label_field:
            return self.labels(indices)
        return self._read_field(name, self._checked(indices))

    def _read_field(self, name: str, indices: NDArray[np.int64]) -> NDArray[Any] | list[Any]:
        """`read_field` for a field that is not the label; `name` and `indices` are checked."""
        raise NotImplementedError(f"{type(self).__name__} stores no field but its label")

    def label_counts(self) -> NDArray[np.int64]:
        """Samples of each class, int64 [classes]. Reads the labels of the whole data set, no image.

        Raises:
            ValueError: the samples have no class labels.
        """
        if self.label_field is None or not self.classes:
            raise ValueError(f"{self.path}: has no class labels to count; its fields are {', '.join(self.fields)}")
        counts = np.zeros(len(self.classes), np.int64)
        for start in range(0, len(self), _BLOCK):
            block = self.labels(np.arange(start, min(start + _BLOCK, len(self))))
            counts += np.bincount(block, minlength=len(counts))
        return counts

    def begin_epoch(self) -> None:  # noqa: B027
        """Called when an epoch's first batch is about to be planned. Most data sets do nothing."""

    def lease(self, _indices: ArrayLike) -> object:
        """An object that keeps the bytes named by `entries(indices)` valid as long as it lives; None: they always are.

        To be taken before `entries` is called.
        """
        return None

    def fetch(self, _indices: NDArray[np.int64], _samples: NDArray[np.void]) -> Fetch | None:
        """Begins to bring the bytes that planned samples need, from far away; None: they are here.

        Args:
            indices: sample indices [n].
            samples: SAMPLE [n], made of `entries`; changed in place by the result's `wait`.
        """
        return None

    def announce(self, _fields: Sequence[str]) -> None:  # noqa: B027
        """Has `fetch` bring the values of these stored fields, too. Most data sets do nothing."""

    def expect(self, _indices: NDArray[np.int64]) -> None:  # noqa: B027
        """Announces samples whose `entries` will be requested soon, by the same array of indices.

        A data set that reads a sample to know its size begins to read now. Most data sets do nothing.
        """

    def forget(self, _index: int) -> bool:
        """Drops wrong copies of a sample's bytes; True if another `fetch` may bring right ones."""
        return False

    def stored_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The indices of the samples at these positions in the order of storage."""
        return positions if self.storage is None else self.storage.indices(positions)

    def head_fd(self) -> int:
        """A file whose beginning is that of this beton."""
        return self.fd

    def expect_random_reads(self) -> None:
        """Keeps the operating system from reading ahead, which doubles the bytes that a random order reads."""
        if self.fd >= 0 and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)

    @abstractmethod
    def name(self, index: int) -> str:
        """Name of a sample at its origin: a path relative to the source folder, a key, or its number."""

    def names(self, indices: ArrayLike) -> list[str]:
        """Names of several samples, see `name`."""
        return [self.name(int(index)) for index in np.asarray(indices)]

    def check_unchanged(self) -> None:
        """Checks that the file has not changed since it was opened; takes a microsecond if it was not written to.

        A file with a new modification time but the same tables passes.

        Raises:
            BadDataset: the file has changed.
        """
        if self.fd < 0 or self.immutable:
            return
        facts = os.fstat(self.fd)
        stamp = facts.st_size, facts.st_mtime_ns
        if stamp != self._stamp:
            if self._stamp is not None and not self._same_tables():
                raise BadDataset(f"{self.path}: was written to while it was open; make a new Loader when that is over")
            self._stamp = stamp

    def _same_tables(self) -> bool:
        """Whether the tables on disk are those that were read when the file was opened.

        Raises:
            BadDataset: they are damaged.
        """
        return False

    def read(self, index: int, level: int = 0) -> bytes:
        """The stored bytes of one level of one sample; empty if the sample has no such level.

        Raises:
            BadDataset: the file ends before.
        """
        entry = self.entries([index])[0, level]
        return read_exactly(self.fd, int(entry["size"]), int(entry["offset"]), self.path)

    @property
    def originals(self) -> str | None:
        """Name of the field that keeps original files, see `convert(keep_codec=)`; None: there is none."""
        return next((name for name, kind in self.fields.items() if kind.kind == ORIGINAL), None)

    def read_original(self, index: int) -> bytes:
        """The image file of a sample as its source had it, if it is kept; else level 0.

        Raises:
            BadDataset: the file ends before, or does not match its check.
        """
        kept: bytes = b"" if self.originals is None else self.read_field(self.originals, [index])[0]
        return kept or self.read(index)

    def read_record(self, index: int, level: int) -> bytes:
        """One level of one sample of a pyramid as it lies in the file: the row table, then the JPEG.

        Raises:
            BadDataset: the file ends before.
        """
        entry = self.entries([index])[0, level]
        table = int(table_bytes(int(entry["rows"])))
        return read_exactly(self.fd, table + int(entry["size"]), int(entry["offset"]) - table, self.path)

    def with_tables(self) -> Dataset:
        """This data set, with all tables of its file at hand, those that loading does not need, too."""
        return self

    def check_tables(self) -> None:
        """Checks what `entries` and the like check only where they read: all tables of the file.

        Raises:
            BadDataset: one is damaged, or cannot be read, or the file has changed.
        """
        self.check_unchanged()

    def reader(
        self,
        starts: NDArray[np.int64],  # noqa: ARG002
        ends: NDArray[np.int64],  # noqa: ARG002
    ) -> Callable[[int, int], bytes]:
        """A function of (start, end) that gives bytes of the file, for ranges that lie within these.

        Raises:
            BadDataset: the file ends before.
            LoaderError: its store refuses or keeps failing.
        """
        return lambda start, end: read_exactly(self.fd, end - start, start, self.path)

    def close(self) -> None:
        """Closes the file. No other method may be called afterwards."""
        if self.fd >= 0:
            if self._closing is None or self._closing.detach():
                os.close(self.fd)
            self.fd = -1

    def close_at_collection(self) -> None:
        """Closes the file when the data set is collected without a call of `close`."""
        self._closing = weakref.finalize(self, os.close, self.fd)
        self._closing.atexit = False

    def __enter__(self) -> Dataset:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, indices: ArrayLike) -> NDArray[np.int64]:
        indices = np.asarray(indices, np.int64)
        outside = (indices < 0) | (indices >= len(self))
        if outside.any():
            raise IndexError(f"{self.path}: sample indices go from 0 to {len(self) - 1}, got {indices[outside][0]}")
        return indices


def empty_entries(samples: int, levels: int) -> NDArray[np.void]:
    """ENTRY [samples, levels], all zero, for a data set to fill in."""
    return np.zeros((samples, levels), ENTRY)
