"""Lists the images of a folder with their classes, by the rules of torchvision's ImageFolder.

Two rules differ: hidden files and folders (their names begin with a dot, as `.ipynb_checkpoints` and `._cat.jpg`) are
ignored, and a link that leads back to a folder above is not followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
WORKING = ".partial"
"""Suffix of a converter's working folder, which may lie among the class folders."""
SPLITS = {"train", "val", "valid", "validation", "test"}


class Sources(NamedTuple):
    """The samples of a folder.

    Attributes:
        root: the folder whose sub-folders are the classes.
        classes: their names, sorted unless they were given; a label is a position in it.
        names: paths relative to `root`, in sample order.
        labels: one for each name.
    """

    root: str
    classes: list[str]
    names: list[str]
    labels: list[int]


def scan(
    folder: str | os.PathLike[str],
    split: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    allow_empty: bool = False,
) -> Sources:
    """Lists the images of a folder: sub-folders are classes, sorted; within one, sorted paths at any depth.

    Images that lie in a folder without sub-folders are one class, named like the folder.

    Args:
        folder: an ImageFolder tree, or one of splits.
        split: sub-folder that is the tree, e.g. "train".
        classes: class names in the order of their labels, e.g. those of the training set. A class may then have no
            folder, so that a validation set gets the same labels. None: the sub-folders, sorted.
        allow_empty: accept class folders without images; they keep their label.

    Raises:
        FileNotFoundError: no such folder, no images, or a class without any.
        NotADirectoryError: a file.
        ValueError: the sub-folders are splits, not classes, and none was chosen; or a sub-folder is not in `classes`.
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
    found_classes = sorted(name for name in folders if not _hidden(name) and not _is_working(root / name))
    if not found_classes:
        return _one_class(root)
    if set(found_classes) <= SPLITS and all(_has_folders(root / name) for name in found_classes):
        splits = ", ".join(found_classes)
        raise ValueError(f"{root}: its sub-folders are splits ({splits}), not classes; give one as the split")
    labels_of = _labels_of(root, found_classes, classes)
    names: list[str] = []
    labels: list[int] = []
    for name in found_classes:
        found = _images(root, root / name)
        if not found and not allow_empty:
            raise FileNotFoundError(
                f"{root / name}: holds no image ({' '.join(EXTENSIONS)}); add some, or keep the class without "
                "samples by allow_empty=True (removing the folder changes the labels of the classes behind it)"
            )
        names += found
        labels += [labels_of[name]] * len(found)
    if not names:
        raise FileNotFoundError(f"{root}: none of its {len(found_classes)} class folders holds an image")
    return Sources(os.fspath(root), list(labels_of), names, labels)


def _labels_of(root: Path, found: list[str], classes: Sequence[str] | None) -> dict[str, int]:
    """Label of each class, in order.

    Raises:
        ValueError: a folder whose class is not in `classes`, or a class named twice.
    """
    labels = {name: label for label, name in enumerate(found if classes is None else classes)}
    if classes is not None and len(labels) != len(classes):
        raise ValueError(f"`classes` must name each class once, got {len(classes)} names, {len(labels)} different")
    strangers = [name for name in found if name not in labels]
    if strangers:
        raise ValueError(
            f"{root}: its class folder {strangers[0]!r} is not among the {len(labels)} given classes "
            f"({len(strangers)} such folders); add it to `classes`, or move it away"
        )
    return labels


def _hidden(name: str) -> bool:
    return name.startswith(".")


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
        if name.lower().endswith(EXTENSIONS) and not _hidden(name)
    ]


def _walk(folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Each folder from `folder` down, with its files; links are followed, unless they lead back to a folder above.

    torchvision follows those links too, some 40 times in a circle, and lists every image as often.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir()) for entry in entries]
    yield folder, [name for name, is_folder in found if not is_folder]
    for name, is_folder in found:
        if is_folder and not _hidden(name):
            yield from _walk(os.path.join(folder, name), (*above, real))


def _is_working(folder: Path) -> bool:
    return folder.name.endswith(WORKING) and (folder / "journal").exists()


def _has_folders(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_dir() for entry in entries)
