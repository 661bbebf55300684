from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from loaders import Loader, convert, open_dataset
from tests.loaders.sources.test_source_dataset import Photos

vision: Any = pytest.importorskip("torchvision.datasets")


def pillow(path: str) -> Image.Image:
    return Image.open(path).convert("RGB")


def changed(data: Any, out: Path) -> int:
    """Images that a conversion had to encode."""
    return len(convert(data, out, workers=1).changed)


@pytest.fixture
def root(jpeg_folder: Path) -> str:
    return str(jpeg_folder / "val")


def food(files: list[Path], **options: Any) -> Any:
    """A Food101 of these files, without the folders that its constructor looks for."""

    class Small(vision.Food101):
        def __init__(self) -> None:
            vision.VisionDataset.__init__(self, ".", **options)
            self._image_files, self._labels = files, [k // 2 for k in range(len(files))]
            self.classes, self.loader = ["a", "b", "c"], vision.folder.default_loader

    return Small()


def test_data_sets_of_torchvision_are_read_from_their_files(root: str, tmp_path: Path) -> None:
    files = sorted(Path(root).rglob("*.jpg"))
    for data in (vision.ImageFolder(root), food(files)):
        with open_dataset(data) as dataset:
            assert [dataset.read(k) for k in range(6)] == [path.read_bytes() for path in files]
            assert dataset.labels(range(6)).tolist() == [0, 0, 1, 1, 2, 2] and dataset.classes == data.classes
            assert dataset.name(5) == str(files[5])
        assert changed(data, tmp_path / "x.beton") == 0


def test_timms_image_folder_is_read_from_its_files(jpeg_folder: Path, tmp_path: Path) -> None:
    """timm sorts class2 before class10."""
    timm = pytest.importorskip("timm.data")
    for name, of in (("class10", "class000"), ("class2", "class001")):
        shutil.copytree(jpeg_folder / "val" / of, tmp_path / "photos" / name)
    data = timm.create_dataset("", str(tmp_path / "photos"))
    with open_dataset(data) as dataset:
        assert dataset.classes == ["class2", "class10"]
        for k in range(len(data)):
            path = Path(data.filename(k, absolute=True))
            assert dataset.read(k) == path.read_bytes()
            assert dataset.classes[dataset.labels([k])[0]] == path.parent.name
    assert changed(data, tmp_path / "x.beton") == 0


def test_what_a_data_set_does_to_its_samples_is_kept(root: str, tmp_path: Path) -> None:
    class Coarse(vision.ImageFolder):
        def __getitem__(self, index: int) -> Any:
            image, label = super().__getitem__(index)
            return image, int(label > 1)

    files = sorted(Path(root).rglob("*.jpg"))
    for data, labels in (
        (Coarse(root), [0, 0, 0, 0, 1, 1]),
        (food(files, target_transform=lambda label: 2 - label), [2, 2, 1, 1, 0, 0]),
        (vision.ImageFolder(root, loader=pillow), [0, 0, 1, 1, 2, 2]),
    ):
        with open_dataset(data) as dataset:
            assert dataset.labels(range(6)).tolist() == labels
        assert changed(data, tmp_path / "x.beton") == 6
    with pytest.warns(UserWarning, match="`transform` of this Small is unused, its files are read"):
        open_dataset(food(files, transform=lambda image: image)).close()


def test_classes_are_mapped_by_name(root: str, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "val")
    shutil.rmtree(tmp_path / "val" / "class000")
    for data in (vision.ImageFolder(tmp_path / "val"), tmp_path / "val"):
        with open_dataset(data, classes=["class000", "class001", "class002"]) as dataset:
            assert dataset.labels(range(4)).tolist() == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="`classes` must name every class of the source, 'class001' is missing"):
        open_dataset(vision.ImageFolder(tmp_path / "val"), classes=["class000", "class002"])


def test_classes_of_several_names_are_word_net_ids(root: str) -> None:
    data = vision.ImageFolder(root)
    data.wnids, data.classes = data.classes, [("crane",), ("maillot", "tank suit"), ("crane",)]
    with open_dataset(data) as dataset:
        assert dataset.classes == data.wnids


def test_what_is_not_one_data_set_of_samples(root: str) -> None:
    data = vision.ImageFolder(root)
    with pytest.raises(ValueError, match=r"dict: .* got a mapping with train, val; give .* dataset\['train'\]"):
        Loader({"train": data, "val": data})
    with pytest.raises(ValueError, match=r"DataLoader: .* got batches; give the data set, `loader\.dataset`"):
        Loader(torch.utils.data.DataLoader(data))
    with Loader(data, batch_size=2) as loader:
        for given in (loader, loader.dataset, torch.utils.data.Subset(loader.dataset, [0, 2])):
            with pytest.raises(ValueError, match=r"got those of a Loader, .* was made from, and `indices=` for a part"):
                Loader(given, batch_size=2)


def test_the_rows_of_a_data_frame(root: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"image": sorted(map(str, Path(root).rglob("*.jpg"))), "label": [0, 0, 1, 1, 2, 2]})
    with pytest.raises(ValueError, match=r'DataFrame: .* got columns; give the rows, `frame\.to_dict\("records"\)`'):
        open_dataset(frame)
    with open_dataset(frame.to_dict("records")) as dataset:
        assert dataset.labels(range(6)).tolist() == [0, 0, 1, 1, 2, 2] and dataset.name(5) == frame["image"][5]


def test_a_source_of_ones_own_has_no_options(root: str) -> None:
    photos = Photos(Path(root))
    with pytest.raises(ValueError, match=r"`label_column` has no effect .* which has none of these options"):
        open_dataset(photos, label_field="half")
    with open_dataset(photos, label_field=False) as dataset:
        assert len(dataset) == 6
