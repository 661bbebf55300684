"""Lists the images of a folder with their classes, by the rules of torchvision's ImageFolder.

Two rules differ: hidden files and folders (whose names begin with a dot, such as `.ipynb_checkpoints` and `._cat.jpg`)
are ignored, and a link back to a parent folder is not followed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..not_read import remedy
from ..storage import files

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
WORKING = ".partial"
"""Suffix of a converter's working folder, which may be among the class folders."""
SPLITS = {"train", "val", "valid", "validation", "test"}


class Scan(NamedTuple):
    """The result of `scan`: the samples of a folder.

    Attributes:
        root: the folder whose sub-folders are the classes.
        classes: their names, sorted unless they were given; a label is a position in this list.
        names: paths relative to `root`, in sample order.
        labels: one for each name.
        folders: modification time, in nanoseconds, and inode of each listed folder, by its path, read before it was
            listed. Empty for a store.
        ignored: number of files that are not listed, by their ending ("" without ending); hidden files do not count.
    """

    root: str
    classes: list[str]
    names: list[str]
    labels: list[int]
    folders: dict[str, tuple[int, int]]
    ignored: Mapping[str, int] = {}


def scan(
    folder: str | os.PathLike[str],
    split: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    allow_empty: bool = False,
    listing: Iterable[str] | None = None,
) -> Scan:
    """Lists the images of a folder: sub-folders are classes, sorted; within a class, sorted paths at any depth.

    Images in a folder without sub-folders are one class, named like the folder.

    Args:
        folder: an ImageFolder tree, or a folder of splits.
        split: sub-folder that is the tree, e.g. "train".
        classes: class names in label order, e.g. those of the training set. A class may then have an empty folder or
            none, so that a validation set gets the same labels. None: the sub-folders, sorted.
        allow_empty: accept class folders without images; they keep their label.
        listing: paths of all files below `folder`, if it is in a store or an archive; an empty folder's has a `/` at
            its end. None: it is a local folder.

    Raises:
        FileNotFoundError: no such folder, no images, or a class without images.
        NotADirectoryError: `folder` is a file.
        ValueError: the sub-folders are splits, not classes, and none was chosen; or a sub-folder is not in `classes`.
    """
    tree: _OnDisk | _Stored = _OnDisk(folder) if listing is None else _Stored(os.fspath(folder), listing)
    if split is not None:
        tree = tree.inside(split)
    root = tree.root
    found_classes = sorted(name for name in tree.folders() if not hidden(name) and not tree.is_working(name))
    if not found_classes:
        loose = tree.images()
        if not loose:
            other = next((ending for ending, _ in tree.ignored.most_common(1)), "")
            what = f", but {other} files; {remedy(other, 'name a folder of images')}" if other else ""
            raise FileNotFoundError(f"{root}: holds neither class folders nor images ({' '.join(EXTENSIONS)}){what}")
        return Scan(root, [tree.name()], loose, [0] * len(loose), tree.listed, tree.ignored)
    splits = [name for name in found_classes if tree.folders(name)] if set(found_classes) <= SPLITS else []
    if splits:
        raise ValueError(
            f"{root}: its sub-folders are splits ({', '.join(found_classes)}), not classes; choose one of them, such "
            f"as {files.join(root, splits[0])}, or by `split` (--split {splits[0]})"
        )
    labels_of = _labels_of(root, found_classes, classes)
    names: list[str] = []
    labels: list[int] = []
    for name in found_classes:
        found = tree.images(name)
        if not found and not allow_empty and classes is None:
            raise FileNotFoundError(
                f"{files.join(root, name)}: holds no image ({' '.join(EXTENSIONS)}); add some, or keep the class "
                "without samples: list the class names in `classes`, or convert with allow_empty=True "
                "(--allow-empty); removing the folder would change the labels of the classes after it"
            )
        names += found
        labels += [labels_of[name]] * len(found)
    if not names:
        raise FileNotFoundError(f"{root}: none of its {len(found_classes)} class folders holds an image")
    return Scan(root, list(labels_of), names, labels, tree.listed, tree.ignored)


def remarks(found: Scan) -> list[str]:
    """Remarks on a folder, for the summary of a conversion."""
    notes = []
    if found.ignored:
        kinds = sorted(found.ignored.items(), key=lambda kind: (-kind[1], kind[0]))
        some = ", ".join(f"{count:,} {ending or 'without an ending'}" for ending, count in kinds[:5])
        notes.append(f"files that are no images by their endings were left out: {some}{', ...' * (len(kinds) > 5)}")
    if len(found.classes) == 1 and found.names:
        notes.append(
            f"all images are of one class, {found.classes[0]!r}: classes are the folders directly in the source; is "
            "this the right folder? For labels in a file, docs/sources.md has examples"
        )
    return notes


def folder_stamp(folder: str) -> tuple[int, int]:
    """Modification time, in nanoseconds, and inode of a folder: a file added or removed changes the time."""
    facts = os.stat(folder)
    return facts.st_mtime_ns, facts.st_ino


def _labels_of(root: str, found: list[str], classes: Sequence[str] | None) -> dict[str, int]:
    """Label of each class, in order.

    Raises:
        ValueError: a folder whose class is not in `classes`, or a repeated class.
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


def _is_working(folder: str, journal: bool) -> bool:
    """Whether a folder of this name is a converter's: it has a journal, unless it was just made or partly deleted."""
    return folder.endswith(WORKING) and (journal or folder.removesuffix(WORKING).endswith(".beton"))


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out."""
    return name.startswith(".") or name == "__MACOSX"  # added by macOS to its archives


def is_image(name: str) -> bool:
    """Whether a file of this name is an image."""
    return name.lower().endswith(EXTENSIONS) and not hidden(name)


def _count(ignored: Counter[str], names: Iterable[str]) -> None:
    """Counts the files whose names are not those of images."""
    for name in names:
        base = name.rpartition("/")[2]
        if not hidden(base) and not is_image(base):
            ignored[os.path.splitext(base)[1].lower()] += 1


class _OnDisk:
    """A local folder.

    Attributes:
        root: its path.
        listed, ignored: see `Scan`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        path = Path(folder).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such folder")
        if not path.is_dir():
            raise NotADirectoryError(f"{path}: must be a folder of images, is a file")
        self.root, self.listed = os.fspath(path), dict[str, tuple[int, int]]()
        self.ignored: Counter[str] = Counter()

    def inside(self, split: str) -> _OnDisk:
        """A sub-folder of this one."""
        path = os.path.join(self.root, split)
        if not os.path.isdir(path):
            raise FileNotFoundError(f"{self.root}: has no sub-folder `{split}`; name one that is there, or no split")
        return _OnDisk(path)

    def name(self) -> str:
        """The root's own name."""
        return Path(self.root).resolve().name

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders directly in a folder."""
        path = os.path.join(self.root, folder) if folder else self.root
        self.listed[path] = folder_stamp(path)
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir()]

    def is_working(self, folder: str) -> bool:
        """Whether a converter works in a folder."""
        return _is_working(folder, os.path.exists(os.path.join(self.root, folder, "journal")))

    def images(self, folder: str = "") -> list[str]:
        """The images below a folder, by their paths from the root."""
        start = len(self.root.rstrip("/")) + 1
        above = (os.path.realpath(self.root),) if folder else ()
        found = sorted(self._walk(os.path.join(self.root, folder).rstrip("/") or "/", above))
        below = [(os.path.join(at, "")[start:], sorted(names)) for at, names in found]
        for _, names in below:
            _count(self.ignored, names)
        return [prefix + name for prefix, names in below for name in names if is_image(name)]

    def _walk(self, folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        """Each folder from `folder` down, with its files; links are followed, except links back to a parent folder.

        torchvision also follows those links, about 40 times in a circle, and lists every image that many times.
        """
        real = os.path.realpath(folder)
        if real in above:
            return
        self.listed[folder] = folder_stamp(folder)
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
        yield folder, [name for name, is_folder in found if not is_folder]
        for name, is_folder in found:
            if is_folder and not hidden(name):
                yield from self._walk(os.path.join(folder, name), (*above, real))


class _Stored:
    """A folder in a store or an archive, given by a list of all its files. See `_OnDisk`."""

    def __init__(self, folder: str, listing: Iterable[str]) -> None:
        self.root, self.listed = folder.rstrip("/"), dict[str, tuple[int, int]]()
        self.ignored: Counter[str] = Counter()
        self._below: dict[str, list[str]] = {}  # first folder, or "" for files of the root: paths from there
        for path in listing:
            first, slash, rest = path.partition("/")
            self._below.setdefault(first if slash else "", []).append(rest if slash else first)
        if not self._below:
            raise FileNotFoundError(f"{folder}: no such folder, or an empty one")

    def inside(self, split: str) -> _Stored:
        if split not in self._below:
            raise FileNotFoundError(f"{self.root}: has no sub-folder `{split}`; name one that is there, or no split")
        return _Stored(f"{self.root}/{split}", self._below[split])

    def name(self) -> str:
        return self.root.rpartition("/")[2]

    def folders(self, folder: str = "") -> list[str]:
        if not folder:
            return [name for name in self._below if name]
        return sorted({path.partition("/")[0] for path in self._below[folder] if "/" in path})

    def is_working(self, folder: str) -> bool:
        return _is_working(folder, "journal" in self._below[folder])

    def images(self, folder: str = "") -> list[str]:
        paths = [f"{folder}/{path}" if folder else path for path in self._below.get(folder, ())]
        visible = [path for path in paths if path[-1:] != "/" and not any(map(hidden, path.split("/")))]
        _count(self.ignored, visible)
        shown = (path for path in visible if is_image(path))
        return sorted(shown, key=lambda path: (path.rpartition("/")[0], path))
