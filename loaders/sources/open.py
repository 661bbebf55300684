"""One door to every kind of data set."""

from __future__ import annotations

import os

from ..beton import layout
from ..beton.tables import read_head
from .dataset import Dataset
from .ffcv_beton import FFCVBeton
from .folder import Folder
from .pyramid import Pyramid


def open_dataset(path: str | os.PathLike[str] | Dataset) -> Dataset:
    """Opens a pyramid, a beton that FFCV wrote, or an image folder; an open `Dataset` is returned as it is.

    Raises:
        FileNotFoundError: nothing there, or a folder without images.
        ValueError: a folder of splits.
        BadDataset: a file that is none of these, or is damaged.
    """
    if isinstance(path, Dataset):
        return path
    name = os.path.expanduser(os.fspath(path))
    if os.path.isdir(name):
        return Folder(name)
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: no such file or folder; `efficienttrain convert` makes a beton")
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # not to wait at a pipe
    try:
        head = read_head(fd, name)
        image = head.field(layout.IMAGE_FIELD)
        private = None if image is None else layout.unpack_private(head.arguments[image], name)
        dataset = FFCVBeton(fd, head) if private is None else Pyramid(fd, head, private)
    except BaseException:
        os.close(fd)
        raise
    dataset.close_at_collection()
    return dataset
