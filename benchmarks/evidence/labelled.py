"""Shared by the benchmarks that train: labelled data as betons, threads, and mean and spread over seeds.

The default data is Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747) from Debian's package, so that no
network is needed. Its files are IDX: a magic number, the sizes as big-endian 32-bit numbers, then bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from loaders import convert

from ..harness.report import workplace

FASHION = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
SPLITS = {"train": "train", "val": "t10k"}


@dataclass(frozen=True)
class Bench:
    """Data and a place to work in."""

    folder: Path
    """Of data and runs."""
    images: Path
    """With train/ and val/, a sub-folder a class in each."""

    def betons(self) -> dict[str, Any]:
        """Both splits, under the names that `Config` has for them."""
        return {name: self.beton(split) for name, split in (("data", "train"), ("val", "val"))}

    def beton(self, split: str, name: str = "", chosen: slice = slice(None)) -> str:
        """A split as a beton, made once; `chosen` of each class's images only, if it has a `name` of its own."""
        place = hashlib.sha256(os.fsencode(self.images.resolve())).hexdigest()[:8]  # others may have the same name
        kinds = self.folder / f"{self.images.name}-{place}-{split}{name and f'-{name}'}"
        beton = Path(f"{kinds}.beton")
        if not beton.exists():
            if name:
                _link(self.images / split, kinds, chosen)
            convert(kinds if name else self.images / split, beton, progress=True)
        return str(beton)


@contextmanager
def bench(
    data: str | None, size: int, limit: int, val_limit: int, threads: int | None, work: str | None
) -> Iterator[Bench]:
    """Sets torch's threads, and brings the data.

    Args:
        data: a folder with train/ and val/, or Fashion-MNIST's; None: if Debian's package puts that.
        size: of Fashion-MNIST's images, to which they are enlarged, pixels.
        limit, val_limit: images of Fashion-MNIST's splits.
        threads: of which one is the loader's, if there are two or more, and the others torch's; None: torch's choice.
        work: folder that keeps data and runs, so that the same command resumes there; None: a temporary one.

    Raises:
        FileNotFoundError: the data are not there.
    """
    import torch

    if threads:
        torch.set_num_threads(max(1, threads - 1))
    with workplace(work) as folder:
        images = Path(data) if data else FASHION
        if not data or has_fashion(images):
            source, images = images, folder / f"fashion-{size}-{limit}-{val_limit}"
            if not images.exists():
                write_fashion(source, images, size, limit, val_limit, progress=True)
        yield Bench(folder, images)


def named(data: str | None) -> str:
    """Name of the data in a report."""
    return Path(data).resolve().name if data else "Fashion-MNIST"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over the seeds."""
    return {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else 0.0}


def percent(value: dict[str, float], sign: str = "") -> str:
    """Such as "81.20 ± 0.35", of shares."""
    return f"{100 * value['mean']:{sign}.2f} ± {100 * value['sd']:.2f}"


def plain(value: dict[str, float], digits: int) -> str:
    """Such as "1.48 ± 0.02"."""
    return f"{value['mean']:.{digits}f} ± {value['sd']:.{digits}f}"


def of(runs: Sequence[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """The runs with these facts, by seed."""
    return sorted((r for r in runs if all(r[k] == v for k, v in wanted.items())), key=lambda r: r["seed"])


def curves(panel: Any, runs: Sequence[dict[str, Any]], key: str, colours: dict[str, str]) -> None:
    """Accuracy at full size in the course of every run, against `key` of its evaluations; a colour a contestant."""
    for run in runs:
        points = [(point[key], 100 * point["top1"]) for point in run["evaluations"]]
        label = run["contestant"] if run["seed"] == 0 else None
        panel.plot(*zip(*points, strict=True), "o-", color=colours[run["contestant"]], markersize=3, label=label)
    panel.set_ylabel("top-1 at full size, %")
    panel.legend(frameon=False, loc="lower right")
    panel.spines[["top", "right"]].set_visible(False)


def _link(source: Path, kinds: Path, chosen: slice) -> None:
    """A folder of links to `chosen` images of each class."""
    for kind in sorted(path for path in source.iterdir() if path.is_dir()):
        (kinds / kind.name).mkdir(parents=True, exist_ok=True)
        for path in sorted(kind.iterdir())[chosen]:
            if not (link := kinds / kind.name / path.name).exists():
                link.symlink_to(path.resolve())


def has_fashion(folder: Path) -> bool:
    """Whether `folder` holds Fashion-MNIST's files."""
    return (folder / "train-images-idx3-ubyte.gz").is_file()


def write_fashion(source: Path, out: Path, side: int, limit: int, val_limit: int, progress: bool = False) -> Path:
    """Writes OUT/train/CLASS/NUMBER.jpg and OUT/val/CLASS/NUMBER.jpg, enlarged to `side` pixels (bicubic).

    Args:
        source: the package's folder.
        limit, val_limit: images of each split, the first ones, at most.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    if not has_fashion(source):
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
