"""An image folder as a source: sub-folders are classes, as in torchvision's ImageFolder."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cached_property

from ..beton.fields import LABEL_ONLY
from ..storage import files
from ..storage.store import is_url
from .scan import scan
from .source import FileRange, Options, Sample

_GROWTH = {".jpg": 1.25, ".jpeg": 1.25}  # restart markers make JPEGs grow; other formats grow more
_GROWTH_OTHERS = 4
PROBE = 256  # files asked one after the other, to see how long an answer takes
SLOW = 100e-6  # seconds for an answer, from which on threads help: a local disk takes 2e-6 warm, a network one 1e-3
THREADS, BLOCK = 64, 256


class ImageFolder:
    """The samples of an ImageFolder tree."""

    def __init__(self, path: str, options: Options) -> None:
        """Lists the folder. Sizes are asked when they are needed.

        Raises:
            FileNotFoundError, NotADirectoryError, ValueError: see `scan.scan`.
        """
        listing = files.below(path) if is_url(path) else None
        found = scan(path, options.split, classes=options.classes, allow_empty=options.allow_empty, listing=listing)
        self.path, self.classes, self.fields = found.root, found.classes, dict(LABEL_ONLY)
        self._names, self._labels = found.names, found.labels
        below = "" if options.split is None else f"{options.split}/"
        self._stored = None if listing is None else [listing[below + name] for name in self._names]

    @staticmethod
    def recognises(path: str) -> bool:
        """Any folder; the registry tries the more specific sources first."""
        return files.is_folder(path)

    @cached_property
    def _stats(self) -> Sequence[tuple[int, int | str | None]]:
        """Bytes, and modification time in nanoseconds or a store's version, of each file.

        Zeros for a broken link, which is refused later.
        """
        if self._stored is not None:
            return self._stored
        return file_stats([os.path.join(self.path, name) for name in self._names])

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self._stats)

    @property
    def largest(self) -> int:
        """Bytes to allow for the largest stored image. A larger one makes the pages grow."""
        return max(_record_bytes(name, size) for name, (size, _) in zip(self._names, self._stats, strict=True))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name = self._names[index]
        image = FileRange(files.join(self.path, name), self._stats[index][0])
        return Sample(name, image, {"label": self._labels[index]})

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """See `Source.samples`."""
        return (self[k] for k in range(start, len(self)))

    def part(self, start: int, stop: int) -> ImageFolder:
        """The samples `start` to `stop` - 1 as a source of their own, which asks the sizes of their files alone."""
        part = copy(self)
        vars(part).pop("_stats", None)
        part._names, part._labels = self._names[start:stop], self._labels[start:stop]
        part._stored = None if self._stored is None else self._stored[start:stop]
        return part

    def listing(self) -> str:
        """A digest of names and labels, without a look at the files."""
        digest = hashlib.sha256()
        for name, label in zip(self._names, self._labels, strict=True):
            digest.update(b"%s\0%d\n" % (os.fsencode(name), label))
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """See `Source.fingerprint`. Of names, labels, sizes and modification times."""
        digest = hashlib.sha256()
        for name, label, (size, modified) in zip(self._names, self._labels, self._stats, strict=True):
            digest.update(b"%s\0%d %d %s\n" % (os.fsencode(name), label, size, str(modified).encode()))
        return digest.hexdigest()


def _record_bytes(name: str, size: int) -> int:
    growth = _GROWTH.get(os.path.splitext(name)[1].lower(), _GROWTH_OTHERS)
    return int(size * growth) + (64 << 10)


def file_stats(paths: Sequence[str]) -> list[tuple[int, int]]:
    """Bytes and modification time in nanoseconds of each file; (0, 0) where there is none that can be reached."""
    start = time.perf_counter()
    stats = [_stat(path) for path in paths[:PROBE]]
    if time.perf_counter() - start < SLOW * len(stats):
        return stats + [_stat(path) for path in paths[PROBE:]]
    blocks = (paths[k : k + BLOCK] for k in range(PROBE, len(paths), BLOCK))
    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(lambda block: [_stat(path) for path in block], blocks):
            stats += found
    return stats


def _stat(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns
