from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Subset, random_split

from loaders import Loader, convert, open_dataset
from loaders.sources import open_source
from loaders.sources.composed import Limited
from loaders.sources.source import indexable

PIXELS = np.zeros((8, 8, 3), np.uint8)


class Digits(torch.utils.data.Dataset[Any]):
    """Arrays, with the attributes of torchvision's CIFAR10."""

    classes = ("nought", "one", "two")

    def __init__(self, start: int = 0) -> None:
        self.targets = [(start + k) % 3 for k in range(6)]

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return PIXELS + np.uint8(index), self.targets[index]


@pytest.fixture
def folder(jpeg_folder: Path) -> Any:
    return pytest.importorskip("torchvision.datasets").ImageFolder(jpeg_folder / "train")


def labels_and_names(data: Any) -> tuple[list[int], list[str], list[str]]:
    with open_dataset(data) as dataset:
        names = [dataset.name(k) for k in range(len(dataset))]
        return dataset.labels(range(len(dataset))).tolist(), names, dataset.classes


def test_a_part_of_a_folder_is_read_from_its_files(folder: Any, tmp_path: Path) -> None:
    for data, numbers in (
        (Subset(folder, [20, 3, -1]), [20, 3, 23]),
        (Subset(Subset(folder, range(0, 24, 2)), torch.tensor([7, 0])), [14, 0]),
        (ConcatDataset([Subset(folder, [20]), folder]), [20, *range(24)]),
    ):
        summary = convert(data, tmp_path / "x.beton", workers=1)
        assert summary.images == len(numbers) and summary.changed == []
        files = [folder.samples[k] for k in numbers]
        wanted = [label for _, label in files], [str(path) for path, _ in files], folder.classes
        assert labels_and_names(data) == labels_and_names(tmp_path / "x.beton") == wanted
        with open_dataset(data) as dataset:
            assert [dataset.read(k) for k in range(len(files))] == [Path(path).read_bytes() for path, _ in files]


def test_a_random_split_covers_the_folder(folder: Any) -> None:
    parts = random_split(folder, [0.75, 0.25], torch.Generator().manual_seed(1))
    found = []
    for part in parts:
        labels, names, classes = labels_and_names(part)
        assert classes == folder.classes and labels == [folder.class_to_idx[Path(name).parent.name] for name in names]
        found += names
    assert sorted(found) == sorted(path for path, _ in folder.samples)


def test_parts_of_a_data_set_of_arrays_keep_its_classes() -> None:
    data: Any = ConcatDataset([Digits(), Subset(Digits(1), [5, 2])])
    labels, names, classes = labels_and_names(data)
    assert labels == [0, 1, 2, 0, 1, 2, 0, 0] and classes == list(Digits.classes)
    assert len(set(names)) == 8 and names[7] == "sample 2 of part 1"
    with Loader(data, batch_size=8, resolution=16, train=False, dtype="uint8", num_workers=1) as loader:
        ((images, delivered),) = loader
    assert delivered.tolist() == labels and images[:, 0, 8, 8].tolist() == [0, 1, 2, 3, 4, 5, 5, 2]


def test_a_subset_with_samples_of_its_own_delivers_them() -> None:
    class Flipped(Subset[Any]):
        def __getitem__(self, index: Any) -> Any:
            return PIXELS, 9 - index

        def __getitems__(self, indices: Any) -> Any:
            return [self[index] for index in indices]

    assert labels_and_names(Flipped(Digits(), [4, 2]))[0] == [9, 8]


def test_data_sets_that_number_their_classes_differently_are_not_joined() -> None:
    other = Digits()
    other.classes = ("nought", "two", "one")
    data: Any = ConcatDataset([Digits(), other])
    with pytest.raises(ValueError, match="all parts must have the same classes, got nought, one, two and nought, two,"):
        open_dataset(data)
    with open_dataset(data, label_field=False) as dataset:
        assert len(dataset) == 12 and dataset.classes != list(Digits.classes)
    one: Any = [(PIXELS, 0)]
    two: Any = [(PIXELS, 0, 1)]
    with pytest.raises(ValueError, match="must have the same fields, got label and label, target1"):
        open_dataset(ConcatDataset([one, two]))


def test_indices_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="its indices must be below 6, the samples there are, got 6"):
        open_dataset(Subset(Digits(), [0, 6]))
    with pytest.raises(ValueError, match="a Subset of Digits: holds no samples"):
        open_dataset(Subset(Digits(), []))


def test_a_conversion_resumes_on_the_same_part_only() -> None:
    prints = [open_source(data).fingerprint() for data in (Subset(Digits(), [1, 2]), Subset(Digits(), [2, 1]))]
    joined = [open_source(ConcatDataset([Digits(), part])).fingerprint() for part in (Digits(), Digits(1))]
    assert len({*prints, *joined}) == 4
    assert open_source(Subset(Digits(), (1, 2))).fingerprint() == prints[0]


def test_evenly_spaced_samples_are_the_same_of_a_source_that_is_read_from_its_start() -> None:
    samples = [(PIXELS, number) for number in range(10)]
    for limit, places in ((1, [0]), (4, [0, 2, 5, 7]), (10, [*range(10)])):
        for source in (open_source(samples), open_source(lambda: iter(samples))):
            some = Limited(source, limit)
            assert len(some) == limit and some.indexable == indexable(source)
            for start in range(limit + 1):
                assert [sample.values["label"] for sample in some.samples(start)] == places[start:]
