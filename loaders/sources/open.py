"""Opens any kind of data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

from ..beton import layout
from ..beton.tables import read_head
from ..storage.store import is_url
from .dataset import Dataset
from .ffcv_beton import FFCVBeton
from .folder import Folder
from .parts import names_parts, open_parts
from .pyramid import Pyramid


def open_dataset(
    data: Any,
    *,
    label_field: str | Literal[False] | None = None,
    classes: Sequence[str] | None = None,
    allow_empty: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_gb: float = 50,
) -> Dataset:
    """Opens a pyramid, an FFCV beton, an image folder, or a source whose samples can be read in any order.

    Args:
        data: the path of a beton or folder; several betons, named by a glob, a list, or a manifest (see `parts`); the
            path of such a source (a table, ILSVRC2012's tars); or a Python object, see `registry.open_source`. An open
            `Dataset` is returned as it is.
        classes: names of the classes, in the order of their labels: those of the training set, for a validation set
            whose folders, or whose pyramid, may lack some of them. Labels are mapped by name.
        allow_empty: for image folders, see `scan.scan`.
        label_field: int field of an FFCV beton that holds the class labels; None: the one named `label`, else the only
            int field; False: labels are not needed.
        cache_dir, cache_gb: for URLs: a folder of the local disk where records are kept, coarsest levels first, and
            the 10**9 bytes that it may hold. The machine's processes share it. None: nothing is kept.

    Raises:
        FileNotFoundError: no such file or folder, or a folder without images.
        ValueError: a folder of splits, or a wrong `label_field`.
        BadDataset: a file that is none of these, or is damaged.
    """
    if isinstance(data, Dataset):
        return data
    if is_url(data):
        from .remote import Cache, open_remote

        folder = None if cache_dir is None else os.path.abspath(os.path.expanduser(os.fspath(cache_dir)))
        return open_remote(data, label_field, classes, Cache(folder, int(cache_gb * 1e9)))
    if names_parts(data):
        return open_parts(data, lambda path: _open_beton(path, label_field, classes))
    if not isinstance(data, str | os.PathLike):
        return _open_source(data, classes)
    name = os.path.expanduser(os.fspath(data))
    if os.path.isdir(name):
        dataset: Dataset = Folder(name, classes=classes, allow_empty=allow_empty)
    elif _is_source(name):
        dataset = _open_source(name, classes)
    elif os.path.exists(name):
        dataset = _open_beton(name, label_field, classes)
    else:
        raise FileNotFoundError(f"{name}: no such file or folder; `efficienttrain convert` makes a beton")
    if label_field not in (None, False, dataset.label_field):
        dataset.close()
        raise ValueError(f"{name}: its labels are the field {dataset.label_field!r}, got label_field={label_field!r}")
    return dataset


def _is_source(name: str) -> bool:
    """Whether a file belongs to one of the registered kinds of sources, and is no beton."""
    from .registry import SOURCES, Beton

    kind = next((kind for kind in SOURCES if kind.recognises(name)), Beton)
    return kind is not Beton


def _open_source(data: Any, classes: Sequence[str] | None) -> Dataset:
    from .registry import open_source
    from .source_dataset import SourceDataset

    source = open_source(data, classes=None if classes is None else tuple(classes))
    return SourceDataset(source, classes)


def _open_beton(name: str, label_field: str | Literal[False] | None, classes: Sequence[str] | None = None) -> Dataset:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a pipe must not wait for its other end
    try:
        head = read_head(fd, name)
        image = head.field(layout.IMAGE_FIELD)
        private = None if image is None else layout.unpack_private(head.arguments[image], name)
        dataset = FFCVBeton(fd, head, label_field) if private is None else Pyramid(fd, head, private)
        if classes is not None:
            dataset.use_classes(classes)
    except BaseException:
        os.close(fd)
        raise
    dataset.close_at_collection()
    return dataset
