"""The manifest of a data set of several betons: a JSON file that lists the parts, with expected values for each.

    {"format": "beton-parts", "version": 1,
     "parts": [{"path": "train-00000.beton", "samples": 20000, "bytes": 2936012800, "head": "sha256..."}, ...]}

Paths are relative to the manifest. Version 2 may also have, in a part's entry, `"removed": [17, 60]`: indices in the
part of samples that no longer belong to the data set; and next to `parts`, `"obsolete": ["train-00001.beton"]`: files
that were replaced and will be deleted. `head` is the SHA-256 of a part's header and field descriptors. For a pyramid
these contain the CRCs of its index, which contains the CRCs of its records, so other contents give another `head`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..beton.tables import read_exactly, read_head
from ..errors import BadDataset
from ..not_read import remedy
from ..storage import files
from ..storage.store import Missing, is_url
from .dataset import Dataset

Opened = TypeVar("Opened")
FORMAT, VERSION, EDITED_VERSION = "beton-parts", 1, 2
_BEGINNING = 4 << 10  # bytes in which a manifest names its format


def is_beton(name: str) -> bool:
    """Whether a path has the ending of a beton."""
    return name.lower().endswith((".beton", ".ffcv"))


def is_manifest(path: str) -> bool:
    """Whether the first bytes of a file or an object with the ending .json name the format of a manifest.

    Raises:
        OSError, LoaderError: it cannot be read; if it is missing, the answer is False.
    """
    if not path.endswith(".json") or not (is_url(path) or os.path.isfile(path)):
        return False
    try:
        with files.open_file(path) as file:
            return re.search(rb'"format"\s*:\s*"%s"' % FORMAT.encode(), file.read(_BEGINNING)) is not None
    except Missing:
        return False


@dataclass(frozen=True, kw_only=True)
class PartEntry:
    """A part as a manifest lists it."""

    path: str
    """Relative to the manifest."""
    samples: int
    """Samples of the file, with those that were removed."""
    bytes: int | None = None
    """Size of the file; None: it is not compared."""
    head: str
    """SHA-256 of the file's header and field descriptors."""
    removed: tuple[int, ...] = ()
    """Indices in the part of samples that no longer belong to the data set."""

    @classmethod
    def of(cls, part: Dataset, path: str) -> PartEntry:
        """The entry of an open part. path: relative to the manifest."""
        fd = part.head_fd()
        head = read_head(fd, part.path)
        digest = hashlib.sha256(read_exactly(fd, head.rows, 0, part.path)).hexdigest()
        return cls(path=path, samples=len(part), bytes=head.file_size, head=digest)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> PartEntry:
        """An entry of a manifest.

        Raises:
            ValueError, TypeError, KeyError, ...: it is not an entry.
        """
        samples, removed = int(entry["samples"]), entry.get("removed", [])
        inside = all(isinstance(k, int) and 0 <= k < samples for k in removed)
        if not (inside and len(set(removed)) == len(removed) < samples):
            raise ValueError("wrong indices of removed samples")
        if not (isinstance(entry["path"], str) and isinstance(entry["head"], str)):
            raise TypeError("`path` and `head` must be texts")
        size = None if entry.get("bytes") is None else int(entry["bytes"])
        return cls(path=entry["path"], samples=samples, bytes=size, head=entry["head"], removed=tuple(removed))

    def as_json(self) -> dict[str, Any]:
        """The entry in a manifest, without what is not known."""
        return {name: value for name, value in vars(self).items() if value not in (None, ())}

    def difference(self, part: Dataset) -> str:
        """The first difference between an open part's file and this entry; "" if there is none."""
        found = PartEntry.of(part, self.path)
        for what in ("samples", "bytes", "head"):
            expected, value = getattr(self, what), getattr(found, what)
            if expected is not None and value != expected:
                return f"its {what} is {value}, not {expected}"
        return ""


@dataclass
class Manifest:
    """The content of a manifest."""

    parts: list[PartEntry]
    obsolete: list[str] = field(default_factory=list)
    """Files that were replaced and will be deleted, relative to the manifest."""

    @classmethod
    def parse(cls, text: bytes, path: str) -> Manifest:
        """The manifest with this text. path: its name in error messages.

        Raises:
            BadDataset: it is not a manifest.
        """
        try:
            content = json.loads(text)
            known = content["format"] == FORMAT and content["version"] in (VERSION, EDITED_VERSION)
            found = cls(list(map(PartEntry.from_json, content["parts"])), list(content.get("obsolete", [])))
            good = known and bool(found.parts) and all(isinstance(old, str) and is_beton(old) for old in found.obsolete)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            good = False
        if not good:
            what = "`efficienttrain parts merge` makes one"
            raise BadDataset(f"{path}: not a manifest of betons of version 1 or 2; {what}; {remedy(path, 'name one')}")
        return found

    def text(self) -> bytes:
        """The content of the manifest's file."""
        edited = bool(self.obsolete) or any(part.removed for part in self.parts)
        content: dict[str, Any] = {"format": FORMAT, "version": EDITED_VERSION if edited else VERSION}
        content["parts"] = [part.as_json() for part in self.parts]
        if self.obsolete:
            content["obsolete"] = self.obsolete
        return (json.dumps(content, indent=1) + "\n").encode()


def by_manifest(path: str, read: Callable[[], bytes], open_them: Callable[[list[PartEntry]], Opened]) -> Opened:
    """Opens the parts of a manifest; tries again if a part is missing because the manifest was replaced meanwhile.

    Args:
        path: the manifest's name in error messages.
        read: returns its present content.
        open_them: opens these parts.

    Raises:
        BadDataset: it is not a manifest; also all errors of `open_them`.
    """
    text = read()
    while True:
        try:
            return open_them(Manifest.parse(text, path).parts)
        except FileNotFoundError:
            before, text = text, read()
            if text == before:
                raise
