"""Which files of a folder are samples, in what order and of which class: the rules of torchvision's ImageFolder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
WORKING = ".partial"
"""What a converter's working folder ends with; it may lie among the classes, but is none."""
SPLITS = {"train", "val", "valid", "validation", "test"}


class Sources(NamedTuple):
    """The samples of a folder.

    Attributes:
        root: the folder whose sub-folders are the classes.
        classes: their names, sorted; a label is a position in it.
        names: paths relative to `root`, in sample order.
        labels: one for each name.
    """

    root: str
    classes: list[str]
    names: list[str]
    labels: list[int]


def scan(folder: str | os.PathLike[str], split: str | None = None) -> Sources:
    """Lists the images of a folder: sub-folders are classes, sorted; within one, sorted paths at any depth.

    Images that lie in a folder without sub-folders are one class, named like the folder.

    Args:
        folder: an ImageFolder tree, or one of splits.
        split: sub-folder that is the tree, e.g. "train".

    Raises:
        FileNotFoundError: no such folder, no images, or a class without any.
        NotADirectoryError: a file.
        ValueError: the sub-folders are splits, not classes, and none was chosen.
    """
    root = Path(folder).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder")
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: must be a folder of images, is a file")
    if split is not None:
        if not (root / split).is_dir():
            raise FileNotFoundError(f"{root}: has no sub-folder `{split}`; name one that is there, or no split")
        root = root / split
    with os.scandir(root) as entries:
        folders = [entry.name for entry in entries if entry.is_dir()]
    classes = sorted(name for name in folders if not _is_working(root / name))
    if not classes:
        return _one_class(root)
    if set(classes) <= SPLITS and all(_has_folders(root / name) for name in classes):
        splits = ", ".join(classes)
        raise ValueError(f"{root}: its sub-folders are splits ({splits}), not classes; give one as the split")
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _images(root, root / name)
        if not found:
            raise FileNotFoundError(f"{root / name}: holds no image ({' '.join(EXTENSIONS)}); remove the folder")
        names += found
        labels += [label] * len(found)
    return Sources(os.fspath(root), classes, names, labels)


def _one_class(root: Path) -> Sources:
    names = _images(root, root)
    if not names:
        raise FileNotFoundError(f"{root}: holds neither class folders nor images ({' '.join(EXTENSIONS)})")
    return Sources(os.fspath(root), [root.resolve().name], names, [0] * len(names))


def _images(root: Path, folder: Path) -> list[str]:
    start = len(os.fspath(root).rstrip("/")) + 1
    above = () if folder == root else (os.path.realpath(root),)
    return [
        os.path.join(at, name)[start:]
        for at, names in sorted(_walk(os.fspath(folder), above))
        for name in sorted(names)
        if name.lower().endswith(EXTENSIONS)
    ]


def _walk(folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Each folder from `folder` down, with its files; links are followed, unless they lead back to a folder above.

    torchvision follows those too, some 40 times round, and sees every image as often.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir()) for entry in entries]
    yield folder, [name for name, is_folder in found if not is_folder]
    for name, is_folder in found:
        if is_folder:
            yield from _walk(os.path.join(folder, name), (*above, real))


def _is_working(folder: Path) -> bool:
    return folder.name.endswith(WORKING) and (folder / "journal").exists()


def _has_folders(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_dir() for entry in entries)
