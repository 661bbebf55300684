"""An archive whose images are stored as they are, as a data set without conversion: the kernel reads them from it."""

from __future__ import annotations

import io
import os
import weakref
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import native
from ..beton.fields import LABEL_ONLY
from ..errors import BadDataset
from ..plan.records import OTHER
from .dataset import Dataset, empty_entries
from .file_stats import many
from .folder import size_by_pillow
from .source import FileRange
from .zip_files import ZipImage

if TYPE_CHECKING:
    from .archive import Archive

_HEAD = 16 << 10  # bytes in which most images have their headers


class StoredMembers(Dataset):
    """A tar, or a zip file without compression. Sizes of images are read when they are first needed, and cached.

    Memory: the names, and 44 bytes per sample. An image whose size cannot be read counts as 1x1 pixels; the decoder
    then reports the reason. As in a folder, bytes are not compared with a checksum.
    """

    kind = "archive, not converted"

    def __init__(self, archive: Archive) -> None:
        """
        Raises:
            OSError: it cannot be opened.
            BadDataset: it was modified after it was listed.
        """
        self._archive, self.path, self.classes, self.ratios = archive, archive.path, archive.classes, (1.0,)
        self.fields, self._labels = dict(LABEL_ONLY), np.array(archive.labels, np.int32)
        self._entries = empty_entries(len(archive), 1)  # width 0: not read yet
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._closing = weakref.finalize(self, os.close, self.fd)
        self._closing.atexit = False
        self.check_unchanged()

    def __len__(self) -> int:
        return len(self._labels)

    def entries(self, indices: ArrayLike) -> NDArray[np.void]:
        indices = self._checked(indices)
        missing = np.unique(indices[self._entries["width"][indices, 0] == 0])
        for index, found in zip(missing, many(self._found, missing.tolist()), strict=True):
            entry = self._entries[index, 0]
            entry["offset"], entry["size"], entry["width"], entry["height"], entry["kind"] = found
        return self._entries[indices]

    def _found(self, index: int) -> tuple[int, int, int, int, int]:
        """Offset, bytes, width, height and kind of an image."""
        image = self._archive[index].image
        assert isinstance(image, FileRange | ZipImage)
        place = image.place if isinstance(image, ZipImage) else image
        at, size = place.offset or 0, image.size
        data = os.pread(self.fd, _HEAD, at)
        try:
            start = image.start(data) if isinstance(image, ZipImage) else 0
        except OSError:  # a damaged header: what is here is no image, either
            return at, size, 1, 1, 0
        head = data[start : start + size]
        found, kind = _peek(head)
        if found is None and len(head) < size:  # longer headers, or another format
            head = os.pread(self.fd, size, at + start)
            found, kind = _peek(head)
        return at + start, size, *(found or size_by_pillow(io.BytesIO(head))), kind

    def labels(self, indices: ArrayLike) -> NDArray[np.int64]:
        return self._labels[self._checked(indices)].astype(np.int64)

    def name(self, index: int) -> str:
        return self._archive.names[int(self._checked([index])[0])]

    def read(self, index: int, level: int = 0) -> bytes:
        """The bytes of a sample's image; `level` must be 0. A zip file's CRC is compared.

        Raises:
            BadDataset: the image cannot be read, or can no longer be read.
        """
        if level:
            raise IndexError(f"{self.path}: an archive has level 0 only, got {level}")
        image = self._archive[int(self._checked([index])[0])].image
        assert not isinstance(image, bytes)
        try:
            return image.read()
        except OSError as error:
            raise BadDataset(error.strerror or str(error)) from None

    def check_unchanged(self) -> None:
        facts = os.fstat(self.fd)
        if (facts.st_size, facts.st_mtime_ns) != (self._archive.whole.size, self._archive.whole.modified):
            raise BadDataset(f"{self.path}: was written to while it was open; make a new Loader when that is over")

    def close(self) -> None:
        if self._closing.detach():
            os.close(self.fd)
            self.fd = -1


def _peek(head: bytes) -> tuple[tuple[int, int] | None, int]:
    """Width and height of a JPEG that the kernel reads, else None; and the kind of its entry."""
    try:
        info = native.peek(head)
    except native.JpegError as error:
        return None, OTHER if error.status == native.UNSUPPORTED else 0
    return (info.width, info.height), 0
