"""Fashion-MNIST, as Debian's package has it, as a folder of JPEGs: a labelled data set that needs no network.

Source: H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747. The files are IDX: a magic number, the sizes as big-endian
32-bit numbers, then bytes.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

PLACE = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
SPLITS = {"train": "train", "val": "t10k"}


def present(folder: Path) -> bool:
    """Whether `folder` holds Fashion-MNIST's files."""
    return (folder / "train-images-idx3-ubyte.gz").is_file()


def write(source: Path, out: Path, side: int, limit: int, val_limit: int, progress: bool = False) -> Path:
    """Writes OUT/train/CLASS/NUMBER.jpg and OUT/val/CLASS/NUMBER.jpg, enlarged to `side` pixels (bicubic).

    Args:
        source: the package's folder.
        limit, val_limit: images of each split, the first ones, at most.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    if not present(source):
        raise FileNotFoundError(
            f"Fashion-MNIST must be in {source}: `apt-get install dataset-fashion-mnist`; or give a folder of images "
            "with train/ and val/ by --data."
        )
    partial = out.with_name(out.name + ".partial")
    for (split, name), most in zip(SPLITS.items(), (limit, val_limit), strict=True):
        images = read_idx(source / f"{name}-images-idx3-ubyte.gz")[:most]
        labels = read_idx(source / f"{name}-labels-idx1-ubyte.gz")[:most]
        for label in CLASSES:
            (partial / split / label).mkdir(parents=True, exist_ok=True)
        rows = tqdm(zip(images, labels, strict=True), total=len(images), desc=f"jpeg {split}", disable=not progress)
        for number, (pixels, label) in enumerate(rows):
            large = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
            large.save(partial / split / CLASSES[label] / f"{number:05}.jpg", quality=92, subsampling="4:4:4")
    return partial.rename(out)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes, of any number of dimensions."""
    with gzip.open(path) as file:
        data = file.read()
    if data[:3] != b"\0\0\x08" or len(data) < 4:
        raise ValueError(f"{path} must be an IDX file of bytes, got {data[:4]!r} at its beginning.")
    shape = np.frombuffer(data, ">u4", data[3], 4).astype(int)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
