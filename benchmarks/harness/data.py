"""The records that all contestants see: an image folder, repeated (as copies) or thinned to the requested number."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""As torchvision's ImageFolder. Not imported from `loaders`: a contestant's process may load another version of it."""


@dataclass(frozen=True)
class Data:
    """The records for the contestants: `folder` as files, `pyramid` as our beton (it may have to be made)."""

    name: str  # for people: the source's own name, without its path
    folder: Path
    pyramid: Path
    work: Path  # for files derived from the folder
    records: int
    images: int  # different ones
    mean_bytes: float  # of a file in `folder`
    note: str = ""


def gather(source: str, work: Path, records: int, limit: int | None = None, folder: str | None = None) -> Data:
    """Brings `source` (an ImageFolder tree, or a beton) into the form that contestants read; results are made once.

    Args:
        records: images are repeated, as copies with names of their own, up to this number; 0 leaves them as
            they are.
        limit: with more images than this, an even selection of so many is used.
        folder: the images that a beton was made from; without it its full-size records are written out as
            files.

    Raises:
        FileNotFoundError: no such source, or it holds no image.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(
            f"`--data` must be a local image folder, beton or manifest, and {source} does not exist; copy remote data"
        )
    note = ""
    if folder is not None or path.is_dir():
        tree = Path(folder) if folder is not None else path
    else:
        tree = work / f"extracted-{_digest([path])}"
        note = _extract(path, tree)
    files = everything = find(tree)
    if limit is not None and len(files) > limit:
        files = [files[i] for i in np.linspace(0, len(files) - 1, limit).astype(int)]
    count = max(records, len(files))
    whole = count == len(everything)
    home = work / f"{path.stem}-{count}-{_digest(files)}"
    home.mkdir(exist_ok=True)
    images = tree if whole else home / "images"
    if not images.exists():
        _copy(files, tree, count, images)
    pyramid = path.resolve() if whole and path.is_file() else home / "ours.beton"
    mean_bytes = sum(file.stat().st_size for file in find(images)) / count
    return Data(path.resolve().name, images.resolve(), pyramid, home, count, len(files), mean_bytes, note)


def find(tree: Path) -> list[Path]:
    """All image files below `tree`, sorted, as ImageFolder takes them: those in class folders."""
    found = sorted(file for file in tree.glob("*/**/*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise FileNotFoundError(f"An image folder holds one folder of images a class, but {tree} holds no such image.")
    return found


def warm(data: Data) -> None:
    """Reads everything once, so that the page cache holds it when the first round starts."""
    for file in [*find(data.folder), *data.work.rglob("*"), data.pyramid]:
        if file.is_file():
            read(file)


def read(file: Path) -> None:
    """Reads a file, so that the page cache holds it."""
    with file.open("rb") as stream:
        while stream.read(1 << 20):
            pass


def _digest(files: list[Path]) -> str:
    facts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def _copy(files: list[Path], tree: Path, count: int, out: Path) -> None:
    part = out.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for number in range(count):
        file = files[number % len(files)]
        target = part / file.relative_to(tree).parent / f"{file.stem}-{number // len(files):03d}{file.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    os.replace(part, out)


def _extract(beton: Path, tree: Path) -> str:
    from loaders.sources import open_dataset

    if not tree.exists():
        part = tree.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        with open_dataset(beton) as dataset:
            for index, label in enumerate(dataset.labels(np.arange(len(dataset)))):
                target = part / f"{label:05d}" / f"{index:08d}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(dataset.read(index))
        os.replace(part, tree)
    return (
        "Peers read full-size records written out of the beton; restart markers of ours cost them 5-6 % of decoding. "
        "Give the source by --folder to avoid that."
    )
