"""What every data set answers: which samples there are, and where each of their levels lies."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..beton.tables import read_exactly
from ..errors import BadDataset
from ..plan.records import ENTRY


class Dataset(ABC):
    """A data set at rest. Opening one reads no image.

    Attributes:
        path: the file or folder.
        fd: file descriptor that records are read from; -1 where each sample is a file of its own.
        classes: class names; a label is a position in it. Empty where labels name no classes.
        ratios: side of each stored level / full side, 1.0 first.
    """

    path: str
    fd: int = -1
    classes: list[str]
    ratios: tuple[float, ...]
    _closing: weakref.finalize[..., Any] | None = None
    _stamp: tuple[int, int] | None = None  # size and time of last writing when the tables were last known to be sound

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        """Where each level of each sample lies: ENTRY [n, levels].

        Raises:
            IndexError: an index is negative or not below `len`.
            BadDataset: the file contradicts itself.
        """

    @abstractmethod
    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Class of each sample, int64 [n].

        Raises:
            IndexError: an index is negative or not below `len`.
        """

    @abstractmethod
    def name(self, index: int) -> str:
        """What the sample was called where it came from: a path relative to the source folder, or its number."""

    @property
    def fields(self) -> dict[str, Any]:
        """Fields stored beside the image: name -> type."""
        return {}

    def read_field(self, name: str, indices: ArrayLike) -> Any:
        """A stored field of some samples: an array [n, ...], or a list where samples differ in shape.

        Raises:
            KeyError: no such field.
        """
        raise KeyError(f"{self.path}: has no field {name!r}; it has {', '.join(self.fields) or 'none'}")

    def check_unchanged(self) -> None:
        """Looks whether the file was written to since it was opened; costs a microsecond where it was not.

        A file that was merely touched, or written again with the same tables, passes.

        Raises:
            BadDataset: it is another one now.
        """
        if self.fd < 0:
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
        """The stored bytes of one level of one sample.

        Raises:
            BadDataset: the file ends before.
        """
        entry = self.entries([index])[0, level]
        return read_exactly(self.fd, int(entry["size"]), int(entry["offset"]), self.path)

    def close(self) -> None:
        """Closes the file. Nothing may be asked afterwards."""
        if self.fd >= 0:
            if self._closing is None or self._closing.detach():
                os.close(self.fd)
            self.fd = -1

    def close_at_collection(self) -> None:
        """Makes the file close with the data set also where nobody calls `close`."""
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
        outside = indices[(indices < 0) | (indices >= len(self))]
        if len(outside):
            raise IndexError(f"{self.path}: sample indices go from 0 to {len(self) - 1}, got {outside[0]}")
        return indices


def empty_entries(samples: int, levels: int) -> NDArray[np.void]:
    """ENTRY [samples, levels], all zero: a data set fills what it knows."""
    return np.zeros((samples, levels), ENTRY)
