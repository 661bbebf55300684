"""The kinds of sources. A new one is a file beside this one and a line in `SOURCES`."""

from __future__ import annotations

import os
from typing import Any, Protocol

from .beton_source import Beton
from .image_folder import ImageFolder
from .imagenet import ImageNet
from .parquet import Parquet
from .path_table import Table
from .python import PythonSource
from .source import Options, Source
from .tfrecord import TFRecord
from .webdataset import WebDataset


class Kind(Protocol):
    """A class of sources that are found by a path."""

    format: str
    """Its name for `open_source(format=)`."""

    @staticmethod
    def recognises(path: str) -> bool:
        """Whether a path looks like one of these; no more than its first bytes are read."""
        ...

    def __call__(self, path: str, options: Options) -> Source: ...


SOURCES: tuple[Kind, ...] = (Beton, Table, ImageNet, WebDataset, TFRecord, Parquet, ImageFolder)
"""The first that recognises a path opens it, so the more specific ones stand first."""


def open_source(src: Any, *, format: str | None = None, **options: Any) -> Source:
    """The source at a path, or made of a Python object.

    Args:
        src: a path or a glob with braces; an object with the `Source` protocol; or any other Python object, see
            `python.PythonSource`.
        format: name of the kind of source (see `SOURCES`); None: derived from the path.
        options: fields of `Options`.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: no kind of source recognises the path, or a wrong option.
    """
    try:
        chosen = Options(**options)
    except TypeError:
        known = ", ".join(Options.__dataclass_fields__)
        wrong = ", ".join(sorted(options.keys() - Options.__dataclass_fields__.keys()))
        raise ValueError(f"sources have the options {known}, got {wrong}") from None
    if isinstance(src, Source):
        return src
    if not isinstance(src, str | os.PathLike):
        return PythonSource(src, chosen)
    path = os.path.expanduser(os.fspath(src))
    kinds = {kind.format: kind for kind in SOURCES}
    if format is not None:
        if format not in kinds:
            raise ValueError(f"`format` must be one of {', '.join(kinds)}, got {format!r}")
        return kinds[format](path, chosen)
    for kind in SOURCES:
        if kind.recognises(path):
            return kind(path, chosen)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file or folder")
    raise ValueError(f"{path}: no kind of source recognises it; name one by `format`: {', '.join(kinds)}")
