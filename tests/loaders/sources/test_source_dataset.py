from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import Loader, convert, open_dataset
from loaders.backends import BackendOptions
from loaders.backends.decoder import Decoder
from loaders.beton.fields import FieldType
from loaders.errors import BadSample
from loaders.sources.source import FileRange, Sample
from loaders.sources.source_dataset import SourceDataset
from loaders.transforms.pipeline import OutputFormat


class Photos:
    """A source of a user's own: the files of a folder, some as bytes and some as places."""

    def __init__(self, root: Path) -> None:
        self.path, self.classes = "photos", ["class000", "class001", "class002"]
        vector = FieldType("array", np.dtype("<f4"), (2,))
        self.fields = {"label": FieldType("int"), "half": FieldType("float"), "vector": vector}
        self.files = sorted(root.rglob("*.jpg"))
        self.read = 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        self.read += 1
        path = self.files[index]
        image = path.read_bytes() if index % 2 else FileRange(str(path), path.stat().st_size)
        return Sample(path.name, image, {"label": path.parent.name, "half": index / 2, "vector": [index, 1]})

    def samples(self, start: int = 0) -> Iterator[Sample]:
        return (self[k] for k in range(start, len(self)))

    def fingerprint(self) -> str:
        return "photos"


@pytest.fixture
def photos(jpeg_folder: Path) -> Photos:
    return Photos(jpeg_folder / "train")


def batches(data: Any, **options: Any) -> list[tuple[np.ndarray, list[int]]]:
    options = {"batch_size": 5, "resolution": 64, "dtype": "uint8", "num_workers": 2, **options}
    with Loader(data, **options) as loader:
        return [(images.numpy(), labels.tolist()) for _ in range(2) for images, labels in loader]


@pytest.mark.parametrize("train", [True, False])
def test_a_source_gives_the_batches_of_its_folder(jpeg_folder: Path, photos: Photos, train: bool) -> None:
    ours, theirs = batches(photos, train=train), batches(jpeg_folder / "train", train=train)
    assert len(ours) == len(theirs) == (8 if train else 10)
    for (images, labels), (other_images, other_labels) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(images, other_images)
        assert labels == other_labels
    assert photos.read <= 48  # label and image of a sample are read together


def test_pixels_and_pictures_are_read_too(jpeg_folder: Path) -> None:
    files = sorted((jpeg_folder / "train").rglob("*.jpg"))
    pictures = [(Image.open(path).convert("RGB"), 0) for path in files]
    arrays = [(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1), 0) for image, _ in pictures]
    assert [len(images) for images, _ in batches(pictures)] == [5] * 8
    for (ours, _), (theirs, _) in zip(batches(pictures), batches(arrays), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fields_and_labels(photos: Photos) -> None:
    with open_dataset(photos) as dataset:
        assert isinstance(dataset, SourceDataset)
        assert dataset.classes == photos.classes and np.bincount(dataset.labels(range(24))).tolist() == [8, 8, 8]
        assert dataset.read_field("half", [3, 0]).tolist() == [1.5, 0.0]  # type: ignore[union-attr]
        assert np.array_equal(dataset.read_field("vector", [3, 0]), [[3, 1], [0, 1]])
        assert dataset.name(0) == photos.files[0].name and dataset.read(1) == photos.files[1].read_bytes()
    with open_dataset(photos, classes=photos.classes[::-1]) as dataset:
        assert dataset.labels([0, 23]).tolist() == [2, 0]


def test_memory_is_given_back(photos: Photos) -> None:
    with open_dataset(photos) as dataset:
        held = []
        for k in range(40):
            indices = np.array([k % 24, (k * 7 + 1) % 24])
            if k == 3:
                lease = dataset.lease(indices)
                entry = dataset.entries(indices)[0, 0]
            dataset.entries(indices)
            held.append(os.fstat(dataset.fd).st_blocks * 512)
        assert max(held[20:]) <= 1.5 * max(held[:20])
        kept = os.pread(dataset.fd, int(entry["size"]), int(entry["offset"]))
        assert kept == photos.files[3].read_bytes()
        del lease
        dataset.entries([1])
        assert not any(os.pread(dataset.fd, int(entry["size"]), int(entry["offset"])))


class Broken(Photos):
    def __getitem__(self, index: int) -> Sample:
        if index == 2:
            raise RuntimeError("the disk is gone")
        if index == 4:
            return Sample("four", b"no image", {"label": 0})
        return super().__getitem__(index)


def test_samples_that_cannot_be_read_are_named(jpeg_folder: Path) -> None:
    broken = Broken(jpeg_folder / "train")
    with pytest.raises(BadSample, match=r"sample 2 \(sample 2\) cannot be used: RuntimeError: the disk is gone"):
        batches(broken, train=False)
    with Loader(broken, batch_size=8, resolution=32, train=False, on_error="replace", num_workers=1) as loader:
        assert sum(len(images) for images, _ in loader) == 24
        assert sorted(bad.index for bad in loader.stats()["bad"]) == [2, 4]


class Slow(Photos):
    """Notes how many samples had been asked for when each batch arrived."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: set[int] = set()

    def __getitem__(self, index: int) -> Sample:
        self.asked.add(index)
        return super().__getitem__(index)


def test_later_batches_are_read_before_they_are_planned(jpeg_folder: Path) -> None:
    slow = Slow(jpeg_folder / "train")
    with open_dataset(slow) as dataset:
        decoder = Decoder(dataset, BackendOptions(train=False))
        try:
            batches = [np.arange(k, k + 4) for k in range(0, 24, 4)]
            plans = decoder.plans(OutputFormat.pixels(32), 0, batches)
            for number in range(6):
                keys = next(plans).keys
                assert keys.tolist() == batches[number].tolist()
                wanted = set(range(4 * (1 if number == 0 else min(6, number + 3))))
                deadline = time.monotonic() + 30
                while slow.asked < wanted and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert slow.asked == wanted
        finally:
            decoder.close()
    assert slow.read == 24


def test_batches_of_an_abandoned_epoch_are_dropped(photos: Photos) -> None:
    with open_dataset(photos) as dataset:
        for k in range(20):
            dataset.expect(np.array([k, k + 1]))
        assert len(dataset._ahead) == 4  # type: ignore[attr-defined]
        assert dataset.entries([19, 20])["width"].all() and len(dataset._ahead) == 3  # type: ignore[attr-defined]


def test_the_reason_of_an_image_that_cannot_be_used_is_given() -> None:
    wide = np.zeros((2, 70_000, 3), np.uint8)
    samples = [(wide, 0), (wide[:, :64], 0)]
    with pytest.raises(BadSample, match=r"sample 0 .*70000 x 2 pixels, at most 65535 a side"):
        batches(samples, train=False)


class Recovering(Photos):
    """Its first sample cannot be read the first time."""

    failed = False

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if index == 0 and not self.failed:
            self.failed = True
            return sample._replace(image=FileRange("/nonexistent", 3))
        return sample


def test_a_sample_that_failed_once_is_not_cropped_by_a_wrong_size(jpeg_folder: Path) -> None:
    with pytest.raises(BadSample, match=r"sample 0 .*No such file"):
        batches(Recovering(jpeg_folder / "train"), train=False)


def test_a_source_that_only_streams_must_be_converted(photos: Photos) -> None:
    with pytest.raises(ValueError, match="one after the other; convert it first"):
        open_dataset(photos.samples)
    with pytest.raises(ValueError, match="an iterator can be read only once"):
        open_dataset(photos.samples())
    with pytest.raises(ValueError, match="holds no samples"):
        open_dataset([])
    with pytest.raises(ValueError, match="must be indexable or iterable, got int"):
        open_dataset(3)


def test_tables_are_read_as_they_are(photos: Photos, tmp_path: Path) -> None:
    rows = [f"{path},{path.parent.name}\n" for path in photos.files]
    (tmp_path / "x.csv").write_text("path,label\n" + "".join(rows))
    for (ours, labels), (theirs, others) in zip(batches(tmp_path / "x.csv"), batches(photos), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert labels == others


def test_the_documented_lists_of_names_work(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "sources.md").read_text()
    (code,) = re.findall(r"```python\n(import csv.*?)```", page, re.S)
    paths = sorted((jpeg_folder / "val").rglob("*.jpg"))[:3]
    monkeypatch.chdir(tmp_path)
    tags = ("dog;cat", "", "cow")
    Path("tags.csv").write_text("path,tags\n" + "".join(f"{p},{t}\n" for p, t in zip(paths, tags, strict=True)))
    exec(code, {"convert": convert})
    with open_dataset("tags.beton") as dataset:
        assert dataset.classes == ["cat", "cow", "dog"]
        assert dataset.read_field("label", [0, 1, 2]) == [["dog", "cat"], [], ["cow"]]


def test_the_documented_source_works(jpeg_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "sources.md").read_text()
    (code,) = re.findall(r"```python\n(import glob.*?)```", page, re.S)
    (tmp_path / "scans").mkdir()
    for path in sorted((jpeg_folder / "val").rglob("*.jpg")):
        (tmp_path / "scans" / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    convert(names["Scans"](), "x.beton", workers=1)
    for data in (names["Scans"](), "x.beton"):
        with Loader(data, batch_size=6, resolution=32, train=False, fields=("image", "label", "dose")) as loader:
            ((_, labels, doses),) = loader
        assert labels.tolist() == [0, 1, 0, 1, 0, 1] and doses.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]


def test_labels_are_those_that_a_data_set_delivers(jpeg_folder: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")

    class Coarse(datasets.ImageFolder):  # type: ignore[name-defined,misc]
        def __getitem__(self, index: int) -> Any:
            image, label = super().__getitem__(index)
            return image, int(label > 1)

    root = str(jpeg_folder / "train")
    options: dict[str, Any] = {"train": False, "batch_size": 24, "resolution": 32, "num_workers": 1}
    for data, wanted in (
        (datasets.ImageFolder(root), [0] * 8 + [1] * 8 + [2] * 8),
        (datasets.ImageFolder(root, target_transform=lambda label: 2 - label), [2] * 8 + [1] * 8 + [0] * 8),
        (Coarse(root), [0] * 16 + [1] * 8),
    ):
        with Loader(data, **options) as loader:
            assert next(iter(loader))[1].tolist() == wanted
    with pytest.warns(UserWarning, match="the `transform` of this ImageFolder is unused"):
        Loader(datasets.ImageFolder(root, transform=lambda image: image), **options).close()


def test_lists_of_several_labels_are_no_classes(jpeg_folder: Path) -> None:
    data = sorted((jpeg_folder / "train").rglob("*.jpg"))[0].read_bytes()

    class Tagged:
        targets = np.eye(6, dtype=np.int64)

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            return data, self.targets[index]

    with Loader(Tagged(), batch_size=6, resolution=32, train=False, num_workers=1) as loader:
        ((_, labels),) = loader
    np.testing.assert_array_equal(labels, np.eye(6))


def test_what_macos_adds_to_an_archive_is_no_class(jpeg_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(jpeg_folder / "train", tmp_path / "photos")
    (tmp_path / "photos" / "__MACOSX" / "class000").mkdir(parents=True)
    (tmp_path / "photos" / "__MACOSX" / "class000" / "._a.jpg").write_bytes(b"x")
    with open_dataset(tmp_path / "photos") as dataset:
        assert dataset.classes == ["class000", "class001", "class002"] and len(dataset) == 24
