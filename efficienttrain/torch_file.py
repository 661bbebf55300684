"""Reads the files that torch saves: without executing code in them, and with a check for damage."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

_ZIP = b"PK\3\4"
"""The first bytes of a zip archive, which torch.save has written since version 1.6."""


def load_plain(path: Path) -> Any:
    """The contents of a file of torch's, in RAM: tensors, plain values, and types that torch was told to allow.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or holds another object, whose code would have to be executed. The message is the
            reason alone.
    """
    try:
        check_whole(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        if name := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"it holds an object of {name[1]}, which is not read because it could run code; if you trust the file, "
                "save its state dict alone with torch.save"
            ) from None
        raise ValueError((str(error) or "empty").splitlines()[0]) from error


def check_whole(path: Path) -> None:
    """Compares every part of a file of torch's with its checksum, which torch does not do. Older formats have none.

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
