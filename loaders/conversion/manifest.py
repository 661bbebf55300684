"""Writes the manifest that makes several betons one data set, see `sources.parts`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

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
    unfinished = _written(out, _text(lines))
    try:
        os.link(unfinished, out)  # which, unlike a rename, never replaces a file
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    return samples


def replace_manifest(lines: Sequence[dict[str, Any]], out: str | os.PathLike[str]) -> None:
    """Writes the manifest of parts that were described before; an existing one is replaced. lines: see `describe`."""
    replace_file(out, _text(lines))


def replace_file(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file, which gets its name when it is complete; an existing one is replaced."""
    os.replace(_written(os.fspath(path), text), path)


def _text(lines: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"format": FORMAT, "version": VERSION, "parts": list(lines)}, indent=1) + "\n"


def _written(path: str, text: str) -> str:
    """Writes the text to a file of another name beside `path`, and returns that name."""
    unfinished = f"{path}.{os.uname().nodename}.{os.getpid()}.unfinished"  # unlike those of other machines
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
    return unfinished
