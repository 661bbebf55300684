"""An image folder as a data set without conversion: one level, each sample a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import native
from ..beton.fields import LABEL_ONLY
from ..errors import BadDataset, LoaderError, TooManyOpenFiles
from ..pillow import header
from ..plan.records import OTHER
from ..processors import available_processors
from ..storage.files import open_regular
from .dataset import Dataset, empty_entries
from .scan import scan


class Folder(Dataset):
    """An ImageFolder tree. Sizes of images are read from their headers when they are first needed, and cached.

    Memory: the paths, and 20 bytes per sample. A file whose size cannot be read counts as 1x1 pixels; the decoder then
    reports the reason.
    """

    kind = "image folder"

    def __init__(
        self,
        path: str | os.PathLike[str],
        workers: int | None = None,
        *,
        classes: Sequence[str] | None = None,
        allow_empty: bool = False,
    ) -> None:
        """Lists the folder.

        Args:
            path: sub-folders are classes, as in torchvision's ImageFolder.
            workers: threads that read headers; None: one per processor.
            classes, allow_empty: see `scan.scan`.

        Raises:
            FileNotFoundError, NotADirectoryError, ValueError: see `scan.scan`.
        """
        found = scan(path, classes=classes, allow_empty=allow_empty)
        self.path, self.classes, self.ratios = found.root, found.classes, (1.0,)
        root, names = os.fsencode(os.path.join(found.root, "")), os.fsencode("\0".join(found.names)) + b"\0"
        self._prefix = len(root)
        self._paths = np.frombuffer((root + names.replace(b"\0", b"\0" + root))[: -len(root)], np.uint8)
        self._ends = np.flatnonzero(self._paths == 0) + 1
        self._labels = np.array(found.labels, np.int32)
        self.fields = LABEL_ONLY
        self._sizes = np.zeros((len(found.names), 2), np.uint16)  # width, height; 0: not read yet
        self._kinds = np.zeros(len(found.names), np.uint32)
        self._workers = workers or available_processors()
        self._pool: native.Pool | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        indices = self._checked(indices)
        entries = empty_entries(len(indices), 1)
        starts = np.where(indices > 0, self._ends[indices - 1], 0)
        entries["path"][:, 0] = self._paths.ctypes.data + starts
        missing = np.unique(indices[self._sizes[indices, 0] == 0])
        if len(missing):
            self._peek(missing)
        entries["width"][:, 0], entries["height"][:, 0] = self._sizes[indices].T
        entries["kind"][:, 0] = self._kinds[indices]
        return entries

    def _peek(self, indices: NDArray[np.int64]) -> None:
        if self._pool is None:
            self._pool = native.Pool(self._workers)
        starts = np.where(indices > 0, self._ends[indices - 1], 0)
        widths, heights, status = native.peek_files(self._paths.ctypes.data + starts, self._pool)
        for at in np.flatnonzero(np.asarray(status) != 0):
            widths[at], heights[at] = _size_of(os.path.join(self.path, self.name(int(indices[at]))))
        self._sizes[indices, 0], self._sizes[indices, 1] = widths, heights
        self._kinds[indices] = np.where(np.asarray(status) == native.UNSUPPORTED, OTHER, 0)

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        return self._labels[self._checked(indices)].astype(np.int64)

    def name(self, index: int) -> str:
        index = int(self._checked([index])[0])
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._paths[start + self._prefix : int(self._ends[index]) - 1].tobytes())

    def read(self, index: int, level: int = 0) -> bytes:
        """The bytes of a sample's file; `level` must be 0.

        Raises:
            BadDataset: the file cannot be read, or can no longer be read.
        """
        if level:
            raise IndexError(f"{self.path}: an image folder has level 0 only, got {level}")
        path = os.path.join(self.path, self.name(index))
        try:
            with open_regular(path) as file:
                return file.read()
        except OSError as error:
            raise BadDataset(f"{path}: {error.strerror}") from None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _size_of(path: str) -> tuple[int, int]:
    """Width and height of a file that the kernel does not read; 1x1 if Pillow cannot read its size, either.

    Raises:
        TooManyOpenFiles: it cannot be opened now.
    """
    try:
        with open_regular(path) as file:
            return size_by_pillow(file)
    except TooManyOpenFiles:
        raise
    except OSError:
        return 1, 1


def size_by_pillow(file: IO[bytes]) -> tuple[int, int]:
    """Width and height of an image as Pillow reads them; 1x1 if it cannot."""
    try:
        _, width, height = header(file)
    except LoaderError:
        return 1, 1
    return min(width, 0xFFFF), min(height, 0xFFFF)
