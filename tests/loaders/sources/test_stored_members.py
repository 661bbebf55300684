from __future__ import annotations

import gc
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import Loader, open_dataset
from loaders.errors import BadDataset, BadSample
from loaders.sources.open import open_source
from loaders.sources.source_dataset import SourceDataset
from loaders.sources.stored_members import StoredMembers
from tests.images import jpeg, picture
from tests.loaders.sources.test_archive import edit, pack_folder

STORED: dict[str, Any] = {"compression": zipfile.ZIP_STORED}


@pytest.fixture
def odd(jpeg_folder: Path, tmp_path: Path) -> Path:
    """A folder with images of several formats, one of them with headers of 40 kB."""
    for file in sorted((jpeg_folder / "val").rglob("*.jpg")):
        (tmp_path / "odd" / file.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "odd" / file.parent.name / file.name).write_bytes(file.read_bytes())
    place = next((tmp_path / "odd").iterdir())
    (place / "long.jpg").write_bytes(jpeg(picture(90, 70), "4:2:0", exif=b"Exif\0\0" + bytes(40_000)))
    Image.fromarray(picture(250, 170)).save(place / "x.png")
    Image.fromarray(picture(60, 50)).convert("CMYK").save(place / "cmyk.jpg")
    return tmp_path / "odd"


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_the_kernel_reads_what_it_would_read_from_the_folder(odd: Path, tmp_path: Path, name: str, train: bool) -> None:
    packed = pack_folder(tmp_path / name, odd, "top/")
    options: dict[str, Any] = {
        "batch_size": 5,
        "resolution": 64,
        "num_workers": 2,
        "train": train,
        "fields": ("image", "label", "name"),
    }
    with open_dataset(packed) as dataset, open_dataset(odd) as folder:
        assert isinstance(dataset, StoredMembers)
        everything = np.arange(len(folder))
        assert dataset.names(everything) == folder.names(everything) and dataset.classes == folder.classes
        ours, theirs = dataset.entries(everything), folder.entries(everything)
        for field in ("width", "height", "kind"):
            assert (ours[field] == theirs[field]).all(), field
        assert [dataset.read(k) for k in everything] == [folder.read(k) for k in everything]
    with Loader(packed, **options) as loader, Loader(odd, **options) as expected:
        for _ in range(2):
            for (images, labels, names), (pixels, classes, others) in zip(loader, expected, strict=True):
                assert torch.equal(images, pixels) and torch.equal(labels, classes) and names == others


def test_which_archives_the_kernel_reads(jpeg_folder: Path, tmp_path: Path) -> None:
    path = pack_folder(tmp_path / "x.zip", jpeg_folder, "set/", **STORED)
    classes = ["none", *open_source(path, split="val").classes]
    for options in ({}, {"classes": tuple(classes)}):
        with open_dataset(open_source(path, split="val", **options)) as dataset:
            assert isinstance(dataset, StoredMembers) and len(dataset.labels(range(len(dataset)))) == len(dataset)
    with open_dataset(open_source(path, split="val"), classes=classes) as dataset:
        assert isinstance(dataset, SourceDataset) and dataset.classes == classes
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("set/val/class000/9.jpg", next(jpeg_folder.rglob("*.jpg")).read_bytes(), zipfile.ZIP_DEFLATED)
    with open_dataset(open_source(path, split="val")) as dataset:
        assert isinstance(dataset, SourceDataset)


def test_damage_is_told(jpeg_folder: Path, tmp_path: Path) -> None:
    path = pack_folder(tmp_path / "x.zip", jpeg_folder / "val", **STORED)
    edit(path, 1, header_offset=7)
    edit(path, 2, CRC=1)
    with open_dataset(path) as dataset:
        with pytest.raises(BadDataset, match=r"x\.zip: its member '.*' is damaged: has no header where"):
            dataset.read(1)
        with pytest.raises(BadDataset, match=r"x\.zip: its member '.*' is damaged: its CRC differs"):
            dataset.read(2)
        with pytest.raises(IndexError, match="an archive has level 0 only, got 1"):
            dataset.read(0, 1)
        bad = dataset.name(1)
    with Loader(path, batch_size=4, resolution=64, train=False) as loader, pytest.raises(BadSample, match=bad):
        list(loader)


def test_an_archive_that_is_written_to_is_noticed(jpeg_folder: Path, tmp_path: Path) -> None:
    path = pack_folder(tmp_path / "x.tar", jpeg_folder / "train")
    source = open_source(path)
    with Loader(path, batch_size=2, resolution=64) as loader:
        batches = iter(loader)
        next(batches)
        os.utime(path, ns=(1, 1))
        with pytest.raises(BadDataset, match=r"x\.tar: was written to while it was open; make a new Loader"):
            list(batches)
    with pytest.raises(BadDataset, match=r"x\.tar: was written to"):
        open_dataset(source)


def test_the_file_is_closed(jpeg_folder: Path, tmp_path: Path) -> None:
    path = pack_folder(tmp_path / "x.tar", jpeg_folder / "val")

    def times_open() -> int:
        return sum(os.path.samefile(file, path) for file in Path("/proc/self/fd").iterdir() if file.exists())

    dataset = open_dataset(path)
    assert times_open() == 1
    dataset.close()
    dataset.close()
    assert dataset.fd == -1 and times_open() == 0
    dataset = open_dataset(path)
    del dataset
    gc.collect()
    assert times_open() == 0
