"""Betons that FFCV itself wrote, and FFCV scripts in processes of their own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

from loaders.beton import layout
from loaders.beton.fields import LABEL_ONLY
from loaders.beton.tables import Pages, write_head, write_rows

ROOT = Path(__file__).resolve().parents[2]

# Two betons of an image folder at quality 95, the second one with a field of every other kind, each telling the
# sample's number. Written in a process of its own, because FFCV's writer forks.
WRITE = """
import sys
import numpy as np
import loaders.backends.ffcv.imports  # imports FFCV quickly
from ffcv import fields
from ffcv.writer import DatasetWriter
from torchvision.datasets import ImageFolder

folder = ImageFolder(sys.argv[1])

class Mixed:
    def __len__(self):
        return len(folder)

    def __getitem__(self, k):
        image, label = folder[k]
        text = np.frombuffer(b"sample %d" % k, np.uint8)
        return text, k / 2, label, {"k": int(k)}, image, np.full((2, 3), k, np.float32)

image, label = fields.RGBImageField(write_mode="jpg", jpeg_quality=95), fields.IntField()
extras = {"text": fields.BytesField(), "half": fields.FloatField(), "class": label, "facts": fields.JSONField(),
          "picture": image, "grid": fields.NDArrayField(np.dtype("f4"), (2, 3))}
DatasetWriter(sys.argv[2], {"image": image, "label": label}, num_workers=1).from_indexed_dataset(folder)
DatasetWriter(sys.argv[3], extras, num_workers=1).from_indexed_dataset(Mixed())
"""


def write_tables(file: IO[bytes], page_size: int, blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
    """Ends a beton whose pages are written, and that is no pyramid: its tables, then its head. See `write_rows`."""
    written = write_rows(file, blocks, LABEL_ONLY)
    write_head(file, page_size, written.samples, written.table, b"", LABEL_ONLY)


def write_beton(path: Path, images: list[bytes | np.ndarray], labels: list[int]) -> Path:
    """A beton without private section, as FFCV writes it, but with the allocation table in another order.

    images: JPEGs, or pixels [height, width, 3] that are stored raw.
    """
    jpegs = [image if isinstance(image, bytes) else image.tobytes() for image in images]
    pages, levels = Pages(len(jpegs), layout.MIN_PAGE), np.zeros(len(jpegs), layout.LEVEL)
    with open(path, "w+b") as file:
        for level, image, jpeg in zip(levels, images, jpegs, strict=True):
            level["ptr"], level["size"] = pages.place(len(jpeg)), len(jpeg)
            size = Image.open(io.BytesIO(image)).size if isinstance(image, bytes) else image.shape[1::-1]
            level["width"], level["height"] = size
            file.seek(int(level["ptr"]))
            file.write(jpeg)
        table = file.tell()

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            yield levels, np.array(labels)

        write_tables(file, layout.MIN_PAGE, blocks())
    data = bytearray(path.read_bytes())
    rows = np.frombuffer(bytes(data[table:]), layout.ALLOCATION)
    data[table:] = rows[::-1].tobytes()
    for k, image in enumerate(images):
        data[layout.HEADER.itemsize + 2 * layout.FIELD.itemsize + 24 * k] = not isinstance(image, bytes)
    path.write_bytes(data)
    return path


def run(script: str, *arguments: object, timeout: float = 120, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A Python script in a process of its own, killed after `timeout` seconds."""
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    assert not check or done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run


@pytest.fixture(scope="session")
def written(jpeg_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("ffcv")
    run(WRITE, jpeg_folder / "train", out / "ffcv_beton.beton", out / "mixed.beton")
    return out / "ffcv_beton.beton", out / "mixed.beton"


@pytest.fixture(scope="session")
def ffcv_beton(written: tuple[Path, Path]) -> Path:
    """24 images of 3 classes, written by FFCV."""
    return written[0]


@pytest.fixture(scope="session")
def mixed(written: tuple[Path, Path]) -> Path:
    """The same, with fields text, half, class, facts, picture and grid."""
    return written[1]


def without_index(path: Path) -> Path:
    """Makes a pyramid an FFCV beton in place: without the private section's address, only FFCV's tables are seen."""
    image = layout.HEADER.itemsize + layout.FIELD.fields["arguments"][1]
    with open(path, "r+b") as file:
        file.seek(image)
        file.write(bytes(layout.FIELD["arguments"].itemsize))
    return path
