"""The interface of every data set: its samples, the location of each of their levels, and their fields."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton.fields import ORIGINAL, FieldType
from ..beton.stored_order import Span
from ..plan.order import StorageOrder
from ..plan.records import ENTRY


class Fetch(Protocol):
    """Bytes of samples that are being fetched. They stay valid as long as this object lives.

    Attributes:
        bytes: size of the fetched data in memory.
    """

    bytes: int

    def done(self) -> bool:
        """Whether `wait` would return, or raise its error, immediately."""
        ...

    def wait(self) -> None:
        """Waits for the bytes, and makes the samples refer to them. Can be called more than once.

        Raises:
            LoaderError: they cannot be fetched.
        """
        ...


class Dataset(ABC):
    """A stored data set. Opening it reads no image.

    Attributes:
        path: the file or folder.
        fd: file descriptor from which records are read; -1 if each sample is a separate file.
        classes: class names; a label is a position in this list. Empty if labels are not classes.
        ratios: side of each stored level / full side, 1.0 first.
        fields: stored fields other than the image, by name, in file order. An image folder has `label` only.
        label_field: name of the int field that `labels` returns; None: the samples have no class label.
    """

    kind: str = "data set"
    """What it is, in a few words for people."""
    path: str
    fd: int = -1
    classes: list[str]
    ratios: tuple[float, ...]
    fields: dict[str, FieldType]
    label_field: str | None = "label"
    meta: dict[str, Any] | None = None
    """The meta data of a pyramid; None: this is not a pyramid."""
    image_bytes: int = 0
    """Approximate bytes of all full-size images, if neighbours are stored next to each other; 0: they are not."""
    storage: StorageOrder | None = None
    """The order of the samples in storage; None: the order of their indices."""
    span: Span | None = None
    """The section of a larger set's order that this data set holds; None: it is not such a part."""
    together: int = 0
    """Number of samples to plan together, so that one request fetches neighbours among them. If it is less than a
    batch, each batch is planned alone. 0: no preference."""
    bounds: NDArray[np.int64] | None = None
    """Start and end of the records of each level in the file, [2, levels], if `index_rows` can be read."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        """The location of each level of each sample: ENTRY [n, levels].

        Raises:
            IndexError: an index is negative or not below `len`.
            BadDataset: the file is inconsistent.
        """

    def index_rows(self, _indices: ArrayLike) -> NDArray[np.void]:
        """Stored index rows [n] of a pyramid's samples, see `bounds`. Raises as `entries` does."""
        raise NotImplementedError(f"{type(self).__name__} has no index")

    def decode_entries(self, indices: ArrayLike) -> NDArray[np.void]:
        """The records to decode: `entries`, with the original file instead of level 0 if it is kept.

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

    @property
    def parts(self) -> list[Dataset]:
        """The data sets that it consists of, in order: itself, unless it is made of several betons."""
        return [self]

    @property
    def file_bytes(self) -> int | None:
        """Bytes of its files on this machine; None: each sample is a file, or they are elsewhere."""
        return os.path.getsize(self.path) if os.path.isfile(self.path) else None

    def begin_epoch(self) -> None:  # noqa: B027
        """Called before the first batch of an epoch is planned. Most data sets do nothing."""

    def lease(self, _indices: ArrayLike) -> object:
        """An object that keeps the bytes of `entries(indices)` valid as long as it lives; None: they are always valid.

        Call this before `entries`.
        """
        return None

    def fetch(self, _indices: NDArray[np.int64], _samples: NDArray[np.void]) -> Fetch | None:
        """Begins to fetch the bytes of planned samples from remote storage; None: they are local.

        Args:
            indices: sample indices [n].
            samples: SAMPLE [n], made from `entries`; the result's `wait` changes them in place.
        """
        return None

    def announce(self, _fields: Sequence[str]) -> None:  # noqa: B027
        """Makes `fetch` also fetch the values of these stored fields. Most data sets do nothing."""

    def expect(self, _indices: NDArray[np.int64]) -> None:  # noqa: B027
        """Announces samples whose `entries` will be requested soon with the same array of indices.

        A data set that must read a sample to know its size begins to read. Most data sets do nothing.
        """

    def forget(self, _index: int) -> bool:
        """Drops wrong copies of a sample's bytes. Returns True if another `fetch` may get the right bytes."""
        return False

    def stored_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The indices of the samples at these positions in the storage order."""
        return positions if self.storage is None else self.storage.indices(positions)

    def head_fd(self) -> int:
        """Descriptor of a file that begins with the same bytes as this beton."""
        raise NotImplementedError(f"{type(self).__name__} is no beton")

    def expect_random_reads(self) -> None:
        """Turns off the operating system's read-ahead, which doubles the bytes read in random order."""
        if self.fd >= 0 and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)

    @abstractmethod
    def name(self, index: int) -> str:
        """Name of a sample in its source: a path relative to the source folder, a key, or its number."""

    def names(self, indices: ArrayLike) -> list[str]:
        """Names of several samples, see `name`."""
        return [self.name(int(index)) for index in np.asarray(indices)]

    def check_unchanged(self) -> None:  # noqa: B027
        """Checks that the files have not changed since they were opened. Most data sets that are no betons do nothing.

        Raises:
            BadDataset: a file has changed.
        """

    @abstractmethod
    def read(self, index: int, level: int = 0) -> bytes:
        """The stored bytes of one level of one sample; empty if the sample lacks this level.

        Raises:
            BadDataset: the file is too short.
        """

    @property
    def originals(self) -> str | None:
        """Name of the field that keeps original files, see `convert(keep_codec=)`; None: there is none."""
        return next((name for name, kind in self.fields.items() if kind.kind == ORIGINAL), None)

    def read_original(self, index: int) -> bytes:
        """The original image file of a sample, if it is kept; else level 0.

        Raises:
            BadDataset: the beton is too short, or the image file does not match its CRC.
        """
        kept: bytes = b"" if self.originals is None else self.read_field(self.originals, [index])[0]
        return kept or self.read(index)

    def read_record(self, _index: int, _level: int) -> bytes:
        """The stored record of one level of one sample of a pyramid: the row table, then the JPEG.

        Raises:
            BadDataset: the file is too short.
        """
        raise NotImplementedError(f"{type(self).__name__} is no beton")

    def with_tables(self) -> Dataset:
        """This data set with all tables of its file available, including those that loading does not need."""
        return self

    def with_values(self, indices: NDArray[np.int64]) -> AbstractContextManager[object]:  # noqa: ARG002
        """A context in which the stored values of these samples are available to `with_tables()`, too."""
        return nullcontext()

    def check_tables(self) -> None:
        """Checks all tables of the file. Other methods, such as `entries`, check only the parts that they read.

        Raises:
            BadDataset: a table is damaged or cannot be read, or the file has changed.
        """
        self.check_unchanged()

    def reader(self, _starts: NDArray[np.int64], _ends: NDArray[np.int64]) -> Callable[[int, int], bytes]:
        """A function of (start, end) that returns bytes of the file, for ranges within the given ones.

        Raises:
            BadDataset: the file is too short.
            LoaderError: its store refuses or keeps failing.
        """
        raise NotImplementedError(f"{type(self).__name__} is no beton")

    @abstractmethod
    def close(self) -> None:
        """Closes the files. No other method may be called afterwards."""

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, indices: ArrayLike) -> NDArray[np.int64]:
        indices = np.asarray(indices, np.int64)
        outside = (indices < 0) | (indices >= len(self))
        if outside.any():
            raise IndexError(f"{self.path}: sample indices go from 0 to {len(self) - 1}, got {indices[outside][0]}")
        return indices


def empty_entries(samples: int, levels: int) -> NDArray[np.void]:
    """ENTRY [samples, levels], all zero, which a data set fills in."""
    return np.zeros((samples, levels), ENTRY)
