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
from collections.abc import Callable
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


def by_manifest(path: str, read: Callable[[], bytes], open_them: Callable[[list[dict[str, Any]]], Opened]) -> Opened:
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
            return open_them(parse_manifest(text, path))
        except FileNotFoundError:
            before, text = text, read()
            if text == before:
                raise


def parse_manifest(text: bytes, path: str) -> list[dict[str, Any]]:
    """The parts that a manifest lists.

    Raises:
        BadDataset: it is not a manifest.
    """
    try:
        manifest = json.loads(text)
        good = manifest["format"] == FORMAT and manifest["version"] in (VERSION, EDITED_VERSION)
        good = good and len(manifest["parts"]) > 0 and all(map(_is_part, manifest["parts"]))
        good = good and all(isinstance(path, str) and is_beton(path) for path in manifest.get("obsolete", []))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        good = False
    if not good:
        what = "`efficienttrain parts merge` makes one"
        raise BadDataset(f"{path}: no manifest of betons, version 1 or 2; {what}; {remedy(path, 'name one')}")
    parts: list[dict[str, Any]] = manifest["parts"]
    return parts


def _is_part(part: dict[str, Any]) -> bool:
    removed = part.get("removed", [])
    return (
        isinstance(part["path"], str)
        and isinstance(part["head"], str)
        and int(part["samples"]) > len(removed)
        and all(isinstance(k, int) and 0 <= k < int(part["samples"]) for k in removed)
        and len(set(removed)) == len(removed)
    )


def describe(part: Dataset, path: str) -> dict[str, Any]:
    """A part's entry in a manifest. path: relative to the manifest."""
    fd = part.head_fd()
    head = read_head(fd, part.path)
    digest = hashlib.sha256(read_exactly(fd, head.rows, 0, part.path)).hexdigest()
    return {"path": path, "samples": len(part), "bytes": head.file_size, "head": digest}


def check_expected(part: Dataset, expected: dict[str, Any], whole: str) -> None:
    """Compares an open part with its entry in the manifest `whole`.

    Raises:
        BadDataset: the file differs from its entry.
    """
    found = describe(part, expected["path"])
    for what in ("samples", "bytes", "head"):
        if found[what] != expected.get(what, found[what]):
            raise BadDataset(
                f"{part.path}: another file than {whole} names: its {what} is {found[what]}, not {expected[what]}; "
                "copy the right one, or make the manifest again with `efficienttrain parts merge`"
            )
