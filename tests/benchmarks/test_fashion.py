from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import fashion


def write_idx(tmp_path: Path) -> Path:
    """Fashion-MNIST's four files, with 40 and 20 squares whose brightness and place are their class."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for name, count in (("train", 40), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[label : label + 18, 5:20] = 25 * (label + 1)
        for kind, data in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in data.shape)
            head = bytes([0, 0, 8, data.ndim]) + sizes
            (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + data.tobytes()))
    return folder


def test_pixels_and_labels_survive_the_conversion(tmp_path: Path) -> None:
    out = fashion.write(write_idx(tmp_path), tmp_path / "out", side=32, limit=25, val_limit=10)
    assert len(list(out.glob("train/*/*.jpg"))) == 25
    assert [path.name for path in sorted((out / "val").iterdir())] == sorted(fashion.CLASSES)
    with Image.open(out / "train" / "ankle-boot" / "00019.jpg") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
        assert np.asarray(image)[20, 14] == pytest.approx(250, abs=8)


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"apt-get install dataset-fashion-mnist.*--data"):
        fashion.write(tmp_path, tmp_path / "out", 32, 1, 1)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"\0\0\x0d\x01...."))
    with pytest.raises(ValueError, match="must be an IDX file of bytes"):
        fashion.read_idx(path)
