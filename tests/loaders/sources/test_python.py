from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import convert, open_dataset
from loaders.errors import BadDataset, BadSample
from loaders.sources.python import class_names, encoded

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pictures_of_more_than_8_bits_are_not_clipped(mode: str) -> None:
    deep = Image.fromarray(PIXELS[:, :, 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    with open_dataset([(deep, 0)]) as dataset, pytest.raises(BadDataset, match=f"8 bits a sample, got mode {mode}, wh"):
        dataset.read(0)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK"])
def test_pictures_of_other_modes_are_pillows_rgb(mode: str) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    if mode == "P":
        picture.info["transparency"] = bytes(range(256))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encoded(picture) == encoded(picture.convert("RGBA").convert("RGB"))


def test_a_transform_to_floats_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be uint8, .* got float32 \[4, 6, 3\]; leave out the transform .*ToTen"):
        encoded(torch.zeros(3, 4, 6))


def test_keys_of_dictionaries_can_be_chosen(tmp_path: Any) -> None:
    samples = [{"photo": PIXELS, "kind": torch.tensor(2), "label": 7, "size": np.float32(3), "name": "a"}]
    with pytest.raises(
        ValueError, match=r"needs the key `image`, has photo, kind, label, size, name; .*`image_column`"
    ):
        open_dataset(samples)
    samples[0]["image"] = "a thumbnail's name"
    convert(samples, tmp_path / "x.beton", workers=1, image_column="photo", label_column="kind")
    with open_dataset(tmp_path / "x.beton") as dataset:
        assert dataset.labels([0]).tolist() == [2] and list(dataset.fields) == ["label", "size"]
        assert dataset.name(0) == "a"
    samples = [{"image": PIXELS, "label": torch.tensor(3), "labels": 1}]
    for option, wanted in ((None, 3), ("labels", 1)):
        with open_dataset(samples, label_field=option) as dataset:
            assert dataset.labels([0]).tolist() == [wanted]
    with pytest.raises(ValueError, match=r"needs the key `kind`, has image, label, labels; .*`label_column`"):
        open_dataset(samples, label_field="kind")
    with pytest.raises(ValueError, match=r"`label_field`\) name keys of samples that are mappings, got a tuple"):
        open_dataset([(PIXELS, 0)], label_field="kind")


def test_class_names_of_any_kind() -> None:
    class Data:
        classes: Any

    for given, wanted in (
        (("a", "b"), ["a", "b"]),
        (np.array(["a", "b"]), ["a", "b"]),
        ([3, 5], ["3", "5"]),
        ([("a", "b"), ("c",)], ["a, b", "c"]),
        (2, []),
        (None, []),
    ):
        data = Data()
        data.classes = given
        assert class_names(data) == wanted


def test_images_without_labels_are_tuples_of_one() -> None:
    with pytest.raises(
        ValueError, match=r"must be a tuple .*, got Image; without labels, give tuples of one, \(image,"
    ):
        open_dataset([Image.fromarray(PIXELS)])
    with open_dataset([(Image.fromarray(PIXELS),)], label_field=False) as dataset:
        assert dataset.label_field is None and len(dataset) == 1


def test_a_missing_label_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(BadSample, match="its label is missing"):
        convert([(PIXELS, None)] * 2, tmp_path / "x.beton", workers=1)


@pytest.mark.parametrize("broken", [{0}, {0, 1, 5}])
def test_the_first_sample_may_be_broken(tmp_path: Path, broken: set[int]) -> None:
    class Data:
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            if index in broken:
                raise OSError("image file is truncated")
            return Image.fromarray(PIXELS), index % 2

    found = convert(Data(), tmp_path / "x.beton", on_error="skip", workers=1)
    assert found.images == 8 - len(broken) and len(found.refused) == len(broken)
    with pytest.raises(BadSample, match="image file is truncated"):
        convert(Data(), tmp_path / "y.beton", workers=1)
    broken.update(range(8))
    with pytest.raises(BadDataset, match=r"Data\[0\] raised OSError: image file is truncated; so did all"):
        convert(Data(), tmp_path / "z.beton", on_error="skip", workers=1)
