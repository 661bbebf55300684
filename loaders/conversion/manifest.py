"""Writes the manifest that makes several betons one data set, see `sources.parts_manifest`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from ..sources.open import open_dataset
from ..sources.parts_manifest import Manifest, PartEntry
from ..storage import files
from ..storage.store import check_credentials, is_url


@files.connections()
def write_manifest(parts: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> int:
    """Checks that betons belong together, and writes their manifest. No record is copied.

    Args:
        parts: paths of betons, in the order of their samples; or URLs below the manifest's folder.
        out: the manifest, a new `.json` file. The parts' paths are stored relative to its folder.

    Returns:
        Samples of the whole.

    Raises:
        ValueError: no part, `out` is no `.json` file, or the parts do not lie where it does.
        FileExistsError: `out` exists.
        FileNotFoundError, BadDataset: a part is missing, damaged, or does not belong to the others.
    """
    paths, out = [files.at_home(part) for part in parts], files.at_home(out)
    check_credentials(out, *paths)
    if not paths or not out.endswith(".json"):
        raise ValueError(f"a manifest is a .json file of one or more betons, got {out!r} and {len(paths)} betons.")
    names = [_relative(path, out) for path in paths]
    with open_dataset(paths) as whole:
        manifest = Manifest([PartEntry.of(part, name) for part, name in zip(whole.parts, names, strict=True)])
        samples = len(whole)
    if is_url(out):
        if files.exists(out):
            raise FileExistsError(f"{out}: exists already; name a new manifest")
        files.replace(out, manifest.text())
        return samples
    unfinished = _written(out, manifest.text())
    try:
        os.link(unfinished, out)  # which, unlike a rename, never replaces a file
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    return samples


def _relative(part: str, manifest: str) -> str:
    """The part's path relative to the manifest's folder.

    Raises:
        ValueError: one of them is remote, and the other does not lie there.
    """
    folder = files.folder_of(manifest)
    if not is_url(manifest) and not is_url(part):
        return os.path.relpath(part, folder)
    if not part.startswith(f"{folder}/"):
        raise ValueError(f"{part}: a remote manifest and its parts must lie in one folder, got the manifest {manifest}")
    return part[len(folder) + 1 :]


def _written(path: str, text: bytes) -> str:
    """Writes the text to a file of another name beside `path`, and returns that name."""
    unfinished = f"{path}.{os.uname().nodename}.{os.getpid()}.unfinished"  # unlike those of other machines
    try:
        with open(unfinished, "wb") as file:
            file.write(text)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
    return unfinished
