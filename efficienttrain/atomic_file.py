"""Atomic, durable files: written completely or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write to. It becomes `path` when it is complete and on the disk; until then `path` is unchanged.

    Raises:
        OSError: the file cannot be written, even if a library such as torch reported this by another type of error.
    """
    partial = path.with_name(f"{path.name}.partial")
    with naming(path):
        try:
            with open(partial, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except BaseException:  # the partial file must not stay on a full disk
            partial.unlink(missing_ok=True)
            raise
    os.replace(partial, path)
    sync(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """While this file is written, an error of the operating system names it. Python's names only files it cannot open.

    Raises:
        OSError: the file cannot be written, even if a library such as torch reported this by another type of error.
    """
    try:
        yield
    except Exception as error:
        failed = _of_the_system(error)
        if failed is None:
            raise
        remedy = "; free some and repeat the command" if failed.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise OSError(failed.errno, f"{os.strerror(failed.errno or 0)}{remedy}", os.fspath(path)) from error


def _of_the_system(error: BaseException | None) -> OSError | None:
    """The operating system's error: this error itself, or its cause."""
    while error is not None and not (isinstance(error, OSError) and error.errno):
        error = error.__cause__ or error.__context__
    return error


def sync(folder: Path) -> None:
    """Flushes the folder's entries to the disk, so that they are as durable as the files in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
