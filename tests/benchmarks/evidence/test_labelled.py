from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.evidence.labelled import CLASSES, bench, of, percent, plain, read_idx, spread, write_fashion
from loaders import Loader


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


def labels(beton: str) -> list[int]:
    with Loader(beton, 1, train=False, drop_last=False, num_workers=1) as loader:
        return [int(label) for _, label in loader]


def test_data_are_made_once_and_parts_by_name(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        with bench(str(write_idx(tmp_path)), 32, 30, 20, 3, str(tmp_path / "work")) as place:
            assert torch.get_num_threads() == 2  # and one that loads
            betons = place.betons()
            assert (len(labels(betons["data"])), len(labels(betons["val"]))) == (30, 20)
            halves = [place.beton("val", name, slice(at, None, 2)) for at, name in enumerate(("one", "other"))]
            assert labels(halves[0]) == labels(halves[1]) == list(range(10))
            made = Path(halves[0]).stat().st_mtime_ns
            assert place.beton("val", "one", slice(1)) == halves[0]
            assert Path(halves[0]).stat().st_mtime_ns == made
    finally:
        torch.set_num_threads(before)


def test_a_folder_of_images_is_taken_as_it_is(jpeg_folder: Path, tmp_path: Path) -> None:
    with bench(str(jpeg_folder), 32, 1, 1, None, str(tmp_path)) as place:
        assert place.images == jpeg_folder
        assert len(labels(place.betons()["data"])) == 24


def test_spread_over_seeds() -> None:
    assert spread([0.7, 0.72]) == pytest.approx({"mean": 0.71, "sd": 0.01 * 2**0.5})
    assert spread([0.7])["sd"] == 0
    assert percent({"mean": 0.01, "sd": 0.002}, "+") == "+1.00 ± 0.20"
    assert plain({"mean": 1.5, "sd": 0.25}, 2) == "1.50 ± 0.25"
    assert of([{"a": 1, "seed": 1}, {"a": 2, "seed": 0}, {"a": 1, "seed": 0}], a=1) == [
        {"a": 1, "seed": 0}, {"a": 1, "seed": 1},
    ]  # fmt: skip


def test_pixels_and_labels_survive_the_conversion(tmp_path: Path) -> None:
    out = write_fashion(write_idx(tmp_path), tmp_path / "out", side=32, limit=25, val_limit=10)
    assert len(list(out.glob("train/*/*.jpg"))) == 25
    assert [path.name for path in sorted((out / "val").iterdir())] == sorted(CLASSES)
    with Image.open(out / "train" / "ankle-boot" / "00019.jpg") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
        assert np.asarray(image)[20, 14] == pytest.approx(250, abs=8)


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"apt-get install dataset-fashion-mnist.*--data"):
        write_fashion(tmp_path, tmp_path / "out", 32, 1, 1)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"\0\0\x0d\x01...."))
    with pytest.raises(ValueError, match="must be an IDX file of bytes"):
        read_idx(path)
