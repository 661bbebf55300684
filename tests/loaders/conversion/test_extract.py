from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loaders import Loader
from loaders.conversion import convert, extract, verify
from loaders.errors import BadDataset
from loaders.sources import open_dataset
from loaders.sources.pyramid import Pyramid
from tests.images import picture


@pytest.mark.parametrize("level", [0, 2])
def test_a_level_becomes_a_beton(pyramid: Path, tmp_path: Path, level: int) -> None:
    size = extract(pyramid, tmp_path / "level.beton", level)
    assert size == (tmp_path / "level.beton").stat().st_size
    assert verify(tmp_path / "level.beton") == []
    with open_dataset(pyramid) as whole, open_dataset(tmp_path / "level.beton") as part:
        assert isinstance(part, Pyramid) and len(part) == 24 and part.ratios == (1.0,)
        assert part.labels(range(24)).tolist() == whole.labels(range(24)).tolist()
        assert part.classes == whole.classes == ["class000", "class001", "class002"]
        assert [part.name(k) for k in range(24)] == [whole.name(k) for k in range(24)]
        for index in range(24):
            assert part.read(index) == whole.read(index, level)
            for name in ("width", "height"):
                assert part.entries([index])[0, 0][name] == whole.entries([index])[0, level][name]
    assert os.listdir(tmp_path) == ["level.beton"]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_field_is_kept(jpeg_folder: Path, tmp_path: Path, level: int) -> None:
    files = sorted((jpeg_folder / "train").rglob("*.jpg"))[:5]
    values = [
        {"age": 1.5 * k, "note": "x" * k, "tags": list(range(k)), "grid": np.full((2, 3), k, np.uint8), "kind": k,
         "boxes": [[k, 2 * k, 40 + k, 60]] * k}
        for k in range(5)
    ]  # fmt: skip
    fields = {
        "age": "float",
        "note": "bytes",
        "tags": "json",
        "grid": ("uint8", (2, 3)),
        "kind": "int",
        "boxes": "boxes",
    }
    samples = [{"image": path, **value} for path, value in zip(files, values, strict=True)]
    convert(samples, tmp_path / "whole.beton", fields=fields, workers=1, overhead=0.4)  # of some images without level 2
    extract(tmp_path / "whole.beton", tmp_path / "level.beton", level)
    with open_dataset(tmp_path / "whole.beton") as whole, open_dataset(tmp_path / "level.beton") as part:
        assert list(part.fields) == list(fields)
        for name in ("age", "note", "tags", "kind"):
            assert list(part.read_field(name, range(5))) == list(whole.read_field(name, range(5)))
        np.testing.assert_array_equal(part.read_field("grid", range(5)), whole.read_field("grid", range(5)))
        before, after = whole.entries(range(5))[:, 0], part.entries(range(5))[:, 0]
        for k, found in enumerate(part.read_field("boxes", range(5))):
            ratio = [after[side][k] / before[side][k] for side in ("width", "height")]
            wanted = np.asarray(values[k]["boxes"], float).reshape(-1, 4) * np.tile(ratio, 2)
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
        used = [int(np.flatnonzero(row[: level + 1]).max()) for row in whole.entries(range(5))["width"]]
        assert [part.read(k) for k in range(5)] == [whole.read(k, used[k]) for k in range(5)]


def test_the_next_larger_level_stands_in_for_one_that_was_left_out(beton: Path, tmp_path: Path) -> None:
    extract(beton, tmp_path / "level.beton", 2)
    with open_dataset(beton) as whole, open_dataset(tmp_path / "level.beton") as part:
        stored = whole.entries(range(24))["width"] > 0
        assert 0 < stored[:, 2].sum() < 24 and stored[:, :2].all()
        for index in range(24):
            assert part.read(index) == whole.read(index, 2 if stored[index, 2] else 1)
    assert verify(tmp_path / "level.beton") == verify(beton) == []


def test_what_cannot_be_extracted(pyramid: Path, jpeg_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`level` must be from 0 to 2 .* got 3"):
        extract(pyramid, tmp_path / "x", 3)
    with pytest.raises(ValueError, match="another file"):
        extract(pyramid, pyramid, 0)
    with pytest.raises(BadDataset, match="convert it first"):
        extract(jpeg_folder / "train", tmp_path / "x", 0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("level", [0, 1])
def test_masks_and_original_files_fit_the_level(tmp_path: Path, level: int) -> None:
    pixels = picture(120, 90)
    mask = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4), 30, axis=0), 30, axis=1)
    samples = [{"image": Image.fromarray(pixels), "label": k, "mask": mask} for k in range(2)]
    fields = {"label": "int", "mask": "mask"}
    convert(samples, tmp_path / "whole.beton", fields=fields, keep_codec=True, overhead=9, workers=1)
    extract(tmp_path / "whole.beton", tmp_path / "level.beton", level)
    assert verify(tmp_path / "level.beton") == []
    options = {"batch_size": 2, "resolution": 48, "fields": ("image", "mask"), "train": False, "dtype": "uint8"}
    with Loader(tmp_path / "whole.beton", **options) as whole, Loader(tmp_path / "level.beton", **options) as part:
        (images, masks), (wanted_images, wanted_masks) = next(iter(part)), next(iter(whole))
        assert (masks == wanted_masks).float().mean() > 0.99
        assert (images.int() - wanted_images.int()).abs().float().mean() < 6
    with open_dataset(tmp_path / "level.beton") as dataset:
        assert ("original" in dataset.fields) == (level == 0)
        assert dataset.read_original(0)[:2] == (b"P6" if level == 0 else b"\xff\xd8")
