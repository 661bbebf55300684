"""Betons that FFCV itself wrote, and FFCV scripts in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
