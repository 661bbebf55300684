"""An image folder as a source: sub-folders are classes, as in torchvision's ImageFolder."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..beton.fields import LABEL_ONLY
from ..storage import files
from ..storage.store import Facts, is_url
from . import kept_listing
from .file_stats import file_stats, largest_stored
from .scan import Scan, remarks, scan
from .source import FileRange, Indexed, Options, Sample


class ImageFolder(Indexed):
    """The samples of an ImageFolder tree."""

    choices = ("split",)
    columns = ("label",)

    def __init__(self, path: str, options: Options) -> None:
        """Lists the folder, or uses the listing that an earlier run saved. Sizes are read when they are needed.

        Raises:
            FileNotFoundError, NotADirectoryError, ValueError: see `scan.scan`.
        """
        self._kept_in, self._began = options.listing, time.time_ns()
        asked = [os.path.realpath(path), path, options.split, options.classes, options.allow_empty]
        self._asked = json.dumps(asked)
        kept = self._kept_in and not is_url(path) and kept_listing.load(self._kept_in, self._asked)
        listing = files.below(path) if is_url(path) else None
        self._scan = found = (
            kept.scan
            if kept
            else scan(path, options.split, classes=options.classes, allow_empty=options.allow_empty, listing=listing)
        )
        self.path, self.classes, self.fields = found.root, found.classes, dict(LABEL_ONLY)
        self._names, self._labels = found.names, found.labels
        below = "" if options.split is None else f"{options.split}/"
        self._stored = None if listing is None else [listing[below + name] for name in self._names]
        if kept:
            self._stats, self._fingerprint, self._kept_in = (kept.sizes, kept.modified), kept.fingerprint, None

    @staticmethod
    def recognises(path: str) -> bool:
        """Recognises any folder; the registry tries more specific sources first."""
        return files.is_folder(path)

    @cached_property
    def _stats(self) -> tuple[NDArray[np.int64], NDArray[np.int64] | list[str | None]]:
        """Bytes, and modification time in nanoseconds or a store's version, of each file.

        Zeros for a broken link, which is refused later.
        """
        if self._stored is not None:
            sizes = np.array([facts.size for facts in self._stored], np.int64)
            return sizes, [facts.version or facts.stamp for facts in self._stored]
        stats = np.array(file_stats([os.path.join(self.path, name) for name in self._names]), np.int64).reshape(-1, 2)
        return np.ascontiguousarray(stats[:, 0]), np.ascontiguousarray(stats[:, 1])

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return int(self._stats[0].sum())

    @property
    def largest(self) -> int:
        """See `Extras.largest`."""
        return largest_stored(self._names, self._stats[0])

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name, (sizes, versions) = self._names[index], self._stats
        image = FileRange(files.join(self.path, name), int(sizes[index]))
        if self._stored is not None:
            image = image._replace(version=self._stored[index].version)
        else:
            image = image._replace(modified=int(versions[index]))  # type: ignore[arg-type]
        return Sample(name, image, {"label": self._labels[index]})

    @property
    def hints(self) -> list[str]:
        """Remarks on the folder, for the summary of a conversion."""
        return remarks(self._scan)

    def part(self, numbers: Sequence[int]) -> ImageFolder:
        """The samples with these numbers as a separate source, which reads only the sizes of their files."""
        part = copy(self)
        for name in ("_stats", "_fingerprint"):
            vars(part).pop(name, None)
        part._kept_in, part._scan = None, Scan("", [], [], [], {})  # a part is sent to other machines
        part._names, part._labels = [self._names[k] for k in numbers], [self._labels[k] for k in numbers]
        part._stored = None if self._stored is None else [self._stored[k] for k in numbers]
        return part

    def keep(self) -> None:
        """Saves the listing for the next run in the file named by the options, unless it was read from there.

        Raises:
            OSError: the file cannot be written.
        """
        if self._kept_in is None or not self._scan.folders:
            return
        sizes, modified = self._stats
        listing = kept_listing.Listing(self._scan, sizes, np.asarray(modified, np.int64), self.fingerprint())
        kept_listing.save(self._kept_in, self._asked, listing, self._began)

    def listing(self) -> str:
        """A digest of names and labels; no file is read."""
        digest = hashlib.sha256()
        for name, label in zip(self._names, self._labels, strict=True):
            digest.update(b"%s\0%d\n" % (os.fsencode(name), label))
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """See `Source.fingerprint`. A digest of names, labels, sizes and modification times or versions.

        Objects of a store that takes no version in its requests are not compared when they are read. So that a change
        is noticed at the end of a conversion at least, their folder is listed again by each call but the first.
        """
        if "_fingerprint" in vars(self) and self._stored and any(facts.version is None for facts in self._stored):
            listing = files.below(self.path)
            self._stored = [listing.get(name, Facts(0, None)) for name in self._names]
            for name in ("_stats", "_fingerprint"):
                vars(self).pop(name, None)
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        sizes, versions = self._stats
        times = versions if isinstance(versions, list) else versions.tolist()
        digest = hashlib.sha256()
        for name, label, size, modified in zip(self._names, self._labels, sizes.tolist(), times, strict=True):
            digest.update(b"%s\0%d %d %s\n" % (os.fsencode(name), label, size, str(modified).encode()))
        return digest.hexdigest()
