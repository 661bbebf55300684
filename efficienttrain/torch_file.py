"""Damage to the files that torch saves. torch does not compare the checksums in them, and loads wrong weights."""

from __future__ import annotations

import zipfile
from pathlib import Path

_ZIP = b"PK\3\4"
"""The first bytes of a zip archive, which torch.save has written since version 1.6."""


def check_whole(path: Path) -> None:
    """Compares every part of a file of torch's with its checksum. Files of older formats have none.

    Raises:
        ValueError: the file is truncated or changed.
    """
    with open(path, "rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return
        try:
            with zipfile.ZipFile(file) as archive:
                part = archive.testzip()
        except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError) as error:
            raise ValueError(f"it is truncated or changed: {error}") from error
        if part is not None:
            raise ValueError(f"the checksum of {part} differs")
