"""Files that are written whole or not at all, and last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write into. It becomes `path` when it is complete and on the disk; until then `path` is unchanged."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # a full disk is not to stay full of it
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Makes the folder's entries as lasting as the files in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
