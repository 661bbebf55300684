"""One door to every kind of store."""

from __future__ import annotations

import os

from loaders.store import layout
from loaders.store.base import Store
from loaders.store.beton import read_head
from loaders.store.folder import Folder
from loaders.store.ladder import Ladder
from loaders.store.stock import Stock


def open_store(path: str | os.PathLike[str]) -> Store:
    """Opens a ladder, a beton that FFCV wrote, or an image folder.

    Raises:
        FileNotFoundError: nothing there, or a folder without images.
        ValueError: a folder of splits.
        BadDataset: a file that is none of these, or is damaged.
    """
    name = os.path.expanduser(os.fspath(path))
    if os.path.isdir(name):
        return Folder(name)
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: no such file or folder; `python -m tools convert` makes a beton")
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # not to wait at a pipe
    try:
        head = read_head(fd, name)
        image = head.field(layout.IMAGE_FIELD)
        private = None if image is None else layout.unpack_private(head.arguments[image], name)
        store = Stock(fd, head) if private is None else Ladder(fd, head, private)
    except BaseException:
        os.close(fd)
        raise
    store.close_at_collection()
    return store
