"""Masks follow the crop and flip of their images."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loaders import BadSample, Loader, convert, open_dataset
from loaders.dense_targets import OUTSIDE, cut_masks
from loaders.errors import LoaderError


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def picture(k: int) -> tuple[bytes, np.ndarray]:
    """A JPEG of grey areas 16 pixels wide, and a mask with the same values divided by 10."""
    rng = np.random.Generator(np.random.Philox(key=[4, k]))
    areas = rng.integers(0, 25, (8, 9), np.uint8).repeat(16, axis=0).repeat(16, axis=1)[: 120 + k]
    file = io.BytesIO()
    Image.fromarray(areas * 10).convert("RGB").save(file, "JPEG", quality=98)
    return file.getvalue(), areas


@pytest.fixture(scope="module")
def scenes() -> list[dict[str, Any]]:
    pairs = [picture(k) for k in range(8)]
    return [{"image": image, "label": 0, "mask": mask if k % 2 else png(mask)} for k, (image, mask) in enumerate(pairs)]


@pytest.fixture(scope="module")
def segmented(scenes: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("masks") / "x.beton"
    convert(scenes, out, fields={"label": "int", "mask": "mask"}, workers=1)
    return out


@pytest.mark.parametrize("options", [{"train": True}, {"train": False}, {"train": True, "views": 2}])
def test_masks_lie_on_their_images(segmented: Path, options: dict[str, Any]) -> None:
    options = {"batch_size": 8, "resolution": 64, "dtype": "uint8", "fields": ("image", "mask"), **options}
    with Loader(segmented, num_workers=2, **options) as loader:
        ((images, masks),) = loader
    for image, mask in zip(images, masks, strict=True) if "views" in options else [(images, masks)]:
        assert mask.shape == (8, 64, 64) and str(mask.dtype) == "torch.int64"
        away = np.abs(image.numpy().astype(int).mean(axis=1) - 10 * mask.numpy())
        assert (away < 8).mean() > 0.6 and np.median(away) < 4  # areas agree; edges are blurred in the image alone


def test_a_source_gives_the_masks_of_its_pyramid(scenes: list[dict[str, Any]], segmented: Path) -> None:
    from loaders.beton.fields import parse_fields
    from loaders.sources.open import open_source

    source = open_source(scenes, fields=parse_fields({"label": "int", "mask": "mask"}))
    found = []
    for data in (source, segmented):
        with Loader(data, batch_size=8, resolution=32, fields=("mask",), num_workers=1) as loader:
            found.append(next(iter(loader))[0].numpy())
    np.testing.assert_array_equal(*found)


def test_masks_of_shards(scenes: list[dict[str, Any]], segmented: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for k, scene in enumerate(scenes):
            mask = scene["mask"] if isinstance(scene["mask"], bytes) else png(scene["mask"])
            for name, data in ((f"{k}.jpg", scene["image"]), (f"{k}.seg.png", mask), (f"{k}.cls", b"0")):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    convert(tmp_path / "x.tar", tmp_path / "x.beton", fields={"label": "int", "seg.png": "mask"}, workers=1)
    with open_dataset(tmp_path / "x.beton") as ours, open_dataset(segmented) as theirs:
        assert str(ours.fields["seg.png"]) == "mask"
        assert ours.read_field("seg.png", range(8)) == theirs.read_field("mask", range(8))


def test_nearest_pixels_flips_and_what_lies_outside() -> None:
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    whole = np.array([[0, 0, 4, 3], [-2, 0, 2, 3], [1, 1, 3, 2]], np.float32)
    got = cut_masks([png(mask)] * 3, whole, np.array([False, False, True]), 4)
    assert got[0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert got[1][0].tolist() == [OUTSIDE, OUTSIDE, 0, 1]
    assert got[2].tolist() == [[6, 6, 5, 5]] * 4


def test_masks_that_do_not_fit_are_refused(scenes: list[dict[str, Any]], tmp_path: Path) -> None:
    for wrong, told in (
        (png(np.zeros((5, 6), np.uint8)), "its mask `mask` is 6x5, its image 144x121; they must be of one size"),
        (png(np.zeros((5, 6, 3), np.uint8)), "must have one channel, got pixels of shape"),
        (b"no image", "a mask cannot be decoded"),
    ):
        bad = [scenes[0], {**scenes[1], "mask": wrong}]
        with pytest.raises(BadSample, match=f"sample 1 .*{told}"):
            convert(bad, tmp_path / "x.beton", fields={"label": "int", "mask": "mask"}, workers=1)
    with pytest.raises(LoaderError, match="cannot be decoded"):
        cut_masks([b""], np.zeros((1, 4)), np.array([False]), 8)


@pytest.mark.parametrize("options", [{}, {"augment_at": "base"}, {"augment_on": "device"}, {"views": 2}])
def test_masks_follow_randaugment(segmented: Path, options: dict[str, Any]) -> None:
    fields = {"fields": ("image", "mask"), "dtype": "uint8", "batch_size": 8, "resolution": 64, "num_workers": 1}
    moved = []
    for seed in range(4):  # colour operations hide some samples: those whose values are still near are compared
        with Loader(segmented, seed=seed, magnitude=10, **fields, **options) as loader:
            ((images, masks),) = loader
        pairs = zip(images, masks, strict=True) if "views" in options else [(images, masks)]
        for image, mask in pairs:
            away = np.abs(image.numpy().astype(int).mean(axis=1) - 10 * mask.numpy())
            inside = mask.numpy() != OUTSIDE
            for k in range(8):
                if not inside[k].all():
                    moved.append(float(np.median(away[k][inside[k]])))
    assert len(moved) > 10 and np.mean(np.array(moved) < 6) > 0.4  # others changed colours, too


def test_what_a_step_moved_out_does_not_come_back() -> None:
    mask = np.arange(16, dtype=np.uint8).reshape(4, 4)
    there, back = (np.array([[1, 0, by], [0, 1, 0]], float) for by in (0.5, -0.5))
    whole, flips = np.array([[0, 0, 4, 4]], float), np.array([False])
    got = cut_masks([png(mask)], whole, flips, 4, np.array([[there, back]]))[0]
    assert got[0].tolist() == [OUTSIDE, OUTSIDE, 2, 3]
