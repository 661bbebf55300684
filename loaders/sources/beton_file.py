"""A beton on this machine as a data set: one open file, which may be written to by others."""

from __future__ import annotations

import os
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..beton.tables import Head, OpenFile
from ..errors import BadDataset
from ..plan.records import table_bytes
from .dataset import Dataset


class BetonFile(Dataset):
    """An open beton.

    Attributes:
        head: FFCV's part of the file.
        file: reads from `fd`.
        immutable: whether the file is known not to change, so that `check_unchanged` does nothing.
    """

    immutable = False
    _positions: NDArray[np.int64] | None = None  # positions of the stored classes in `classes`, after `use_classes`
    _closing: weakref.finalize[..., Any] | None = None
    _stamp: tuple[int, int] | None = None  # size and modification time of the file when its tables were last checked

    def __init__(self, fd: int, head: Head) -> None:
        """Takes over `fd`; the caller closes it if this or the constructor of a subclass raises."""
        self.fd, self.path, self.head = fd, head.path, head
        self.file = OpenFile(fd, head.path)
        self.check_unchanged()

    def use_classes(self, classes: Sequence[str]) -> None:
        """Numbers the labels by this list of class names, for example those of a validation set as in training.

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
        """Stored labels, renumbered as set by `use_classes`."""
        return stored if self._positions is None else self._positions[stored]

    def check_unchanged(self) -> None:
        """See `Dataset.check_unchanged`. Takes a microsecond if the file was not written to.

        A file with a new modification time but the same tables is accepted.
        """
        if self.fd < 0 or self.immutable:
            return
        facts = os.fstat(self.fd)
        stamp = facts.st_size, facts.st_mtime_ns
        if stamp != self._stamp:
            if self._stamp is not None and not self._same_tables():
                raise BadDataset(f"{self.path}: was modified while it was open; make a new Loader when it is complete")
            self._stamp = stamp

    @abstractmethod
    def _same_tables(self) -> bool:
        """Whether the tables on disk are the same as when the file was opened.

        Raises:
            BadDataset: they are damaged.
        """

    def read(self, index: int, level: int = 0) -> bytes:
        entry = self.entries([index])[0, level]
        return self.file.read(int(entry["size"]), int(entry["offset"]))

    def read_record(self, index: int, level: int) -> bytes:
        entry = self.entries([index])[0, level]
        table = int(table_bytes(int(entry["rows"])))
        return self.file.read(table + int(entry["size"]), int(entry["offset"]) - table)

    def reader(self, _starts: NDArray[np.int64], _ends: NDArray[np.int64]) -> Callable[[int, int], bytes]:
        return lambda start, end: self.file.read(end - start, start)

    def head_fd(self) -> int:
        return self.fd

    def close(self) -> None:
        if self.fd >= 0:
            if self._closing is None or self._closing.detach():
                os.close(self.fd)
            self.fd = self.file.fd = -1

    def close_at_collection(self) -> None:
        """Arranges that the file is closed if the data set is garbage-collected without a call of `close`."""
        self._closing = weakref.finalize(self, os.close, self.fd)
        self._closing.atexit = False
