"""Writes the manifest that makes several betons one data set, see `sources.parts`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress

from ..sources.open import open_dataset
from ..sources.parts import FORMAT, VERSION, Parts, describe


def write_manifest(parts: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> int:
    """Checks that betons belong together, and writes their manifest. No record is copied.

    Args:
        parts: paths of betons, in the order of their samples.
        out: the manifest, a new `.json` file. The parts' paths are stored relative to its folder.

    Returns:
        Samples of the whole.

    Raises:
        ValueError: no part, or `out` is no `.json` file.
        FileExistsError: `out` exists.
        FileNotFoundError, BadDataset: a part is missing, damaged, or does not belong to the others.
    """
    paths, out = [os.fspath(part) for part in parts], os.fspath(out)
    if not paths or not out.endswith(".json"):
        raise ValueError(f"a manifest is a .json file of one or more betons, got {out!r} and {len(paths)} betons.")
    folder = os.path.dirname(os.path.abspath(out))
    with open_dataset(paths) as whole:
        assert isinstance(whole, Parts)
        lines = [describe(part, os.path.relpath(path, folder)) for part, path in zip(whole.parts, paths, strict=True)]
        samples = len(whole)
    text = json.dumps({"format": FORMAT, "version": VERSION, "parts": lines}, indent=1) + "\n"
    unfinished = f"{out}.{os.getpid()}.unfinished"
    try:
        with open(unfinished, "x", encoding="utf-8") as file:
            file.write(text)
        os.link(unfinished, out)  # which, unlike a rename, never replaces a file
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    return samples
