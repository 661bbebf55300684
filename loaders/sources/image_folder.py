"""An image folder as a source: sub-folders are classes, as in torchvision's ImageFolder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from ..beton.fields import LABEL_ONLY
from .scan import scan
from .source import FileRange, Options, Sample

_GROWTH = {".jpg": 1.25, ".jpeg": 1.25}  # restart markers make JPEGs grow; other formats grow more
_GROWTH_OTHERS = 4


class ImageFolder:
    """The samples of an ImageFolder tree.

    Attributes:
        nbytes: bytes of all files.
        largest: bytes to allow for the largest stored image. A larger one makes the pages grow.
    """

    def __init__(self, path: str, options: Options) -> None:
        """Lists the folder.

        Raises:
            FileNotFoundError, NotADirectoryError, ValueError: see `scan.scan`.
        """
        found = scan(path, options.split, classes=options.classes, allow_empty=options.allow_empty)
        self.path, self.classes, self.fields = found.root, found.classes, dict(LABEL_ONLY)
        self._names, self._labels = found.names, found.labels
        self._sizes, self._fingerprint = self._facts()
        self.nbytes, self.largest = sum(self._sizes), max(map(_record_bytes, self._names, self._sizes))

    @staticmethod
    def recognises(path: str) -> bool:
        """Any folder; the registry tries the more specific sources first."""
        return os.path.isdir(path)

    def _facts(self) -> tuple[list[int], str]:
        """Bytes of each file, and a digest of names, labels, sizes and modification times."""
        sizes, digest = [], hashlib.sha256()
        for name, label in zip(self._names, self._labels, strict=True):
            try:
                stat = os.stat(os.path.join(self.path, name))
                size, modified = stat.st_size, stat.st_mtime_ns
            except OSError:  # a broken link; the sample is refused when it is read
                size, modified = 0, 0
            sizes.append(size)
            digest.update(b"%s\0%d %d %d\n" % (os.fsencode(name), label, size, modified))
        return sizes, digest.hexdigest()

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name = self._names[index]
        image = FileRange(os.path.join(self.path, name), self._sizes[index])
        return Sample(name, image, {"label": self._labels[index]})

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        return (self[k] for k in range(start, len(self)))

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return self._fingerprint


def _record_bytes(name: str, size: int) -> int:
    growth = _GROWTH.get(os.path.splitext(name)[1].lower(), _GROWTH_OTHERS)
    return int(size * growth) + (64 << 10)
