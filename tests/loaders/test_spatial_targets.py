"""Boxes, points and masks follow the crop, the flip and the moves of their images."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders import BadSample, Loader, convert, open_dataset
from loaders.errors import LoaderError
from loaders.spatial_targets import OUTSIDE, cut_masks, move_boxes, move_points
from loaders.transforms import RandAugment, TrivialAugmentWide
from loaders.transforms.randaugment import perform
from loaders.transforms.randaugment_ops import Op, moves

FIELDS = {"label": "int", "boxes": "boxes", "points": "points", "kinds": "json"}
COUNTS = [3, 0, 1, 5, 2, 4, 1, 2]


def scene(k: int, count: int) -> dict[str, Any]:
    """A grey JPEG with boxes and their middle points."""
    rng = np.random.Generator(np.random.Philox(key=[5, k]))
    file = io.BytesIO()
    Image.new("RGB", (150 + k, 110), (90, 90, 90)).save(file, "JPEG")
    corners = rng.uniform(0, 80, (count, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(5, 30, (count, 2))), 1).astype(np.float32)
    points = (boxes[:, :2] + boxes[:, 2:]) / 2
    return {"image": file.getvalue(), "label": 0, "boxes": boxes, "points": points, "kinds": list(range(count))}


@pytest.fixture(scope="module")
def scenes() -> list[dict[str, Any]]:
    return [scene(k, count) for k, count in enumerate(COUNTS)]


@pytest.fixture(scope="module")
def boxed(scenes: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("boxes") / "x.beton"
    convert(scenes, out, fields=FIELDS, workers=1)
    return out


def test_stored_masks_do_not_hide_which_samples_are_repeated(tmp_path: Path) -> None:
    samples = [{"image": Image.new("RGB", (40, 40)), "label": 0, "mask": Image.new("L", (40, 40), 7)}] * 3
    convert(samples, tmp_path / "x.beton", fields={"label": "int", "mask": "mask"}, workers=1)
    options: dict[str, Any] = {"batch_size": 2, "train": False, "rank": 0, "world_size": 2, "resolution": 32}
    with pytest.raises(ValueError, match="`uneven` must not be 'pad' with a stored field `mask`"):
        Loader(tmp_path / "x.beton", uneven="pad", fields=("image", "mask"), **options)
    with Loader(tmp_path / "x.beton", uneven="keep", fields=("image", "mask"), **options) as loader:
        assert all((masks == 7).all() for _, masks in loader)


def test_they_are_stored_as_given(scenes: list[dict[str, Any]], boxed: Path) -> None:
    with open_dataset(boxed) as dataset:
        assert [str(kind) for kind in dataset.fields.values()] == ["int", "boxes", "points", "json"]
        for name in ("boxes", "points"):
            for got, one in zip(dataset.read_field(name, range(8)), scenes, strict=True):
                assert got.dtype == np.float32
                np.testing.assert_array_equal(got, np.asarray(one[name], np.float32).reshape(got.shape))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_as_torchvision(scenes: list[dict[str, Any]], boxed: Path, seed: int) -> None:
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    from torchvision.transforms.v2 import functional as F

    options: dict[str, Any] = {"seed": seed, "batch_size": 8, "resolution": 64, "num_workers": 1}
    with Loader(boxed, fields=("index", "crop", "flip", "boxes", "points", "kinds"), **options) as loader:
        ((indices, crops, flips, boxes, points, kinds),) = loader
    assert 0 < flips.sum() < 8
    for k, index in enumerate(indices.tolist()):
        one = scenes[index]
        x0, y0, x1, y1 = crops[k].round().int().tolist()
        torch.testing.assert_close(crops[k], torch.tensor([x0, y0, x1, y1]).float(), atol=1e-3, rtol=0)
        theirs = tv_tensors.BoundingBoxes(
            torch.from_numpy(one["boxes"]), format="XYXY", canvas_size=(110, 150 + index), dtype=torch.float32
        )
        theirs = F.resized_crop(theirs, y0, x0, y1 - y0, x1 - x0, [64, 64])
        theirs = F.horizontal_flip(theirs) if flips[k] else theirs
        full = (theirs[:, 2:] > theirs[:, :2]).all(1)
        torch.testing.assert_close(boxes[k][full], theirs[full].as_subclass(torch.Tensor), atol=1e-3, rtol=1e-5)
        assert not boxes[k][~full].any() and len(boxes[k]) == len(kinds[k]) == COUNTS[index]
        middle = (torch.from_numpy(np.asarray(one["points"])).reshape(-1, 2) - torch.tensor([x0, y0])) * 64
        middle /= torch.tensor([x1 - x0, y1 - y0])
        middle[:, 0] = 64 - middle[:, 0] if flips[k] else middle[:, 0]
        torch.testing.assert_close(points[k], middle.float(), atol=1e-2, rtol=1e-5)


MOVING = (Op.ROTATE, Op.SHEAR_X, Op.SHEAR_Y, Op.TRANSLATE_X, Op.TRANSLATE_Y)


@pytest.mark.parametrize("side", [64, 65])
def test_points_go_where_randaugment_moves_their_pixels(side: int) -> None:
    pairs = [(op, way) for op in MOVING for way in (-1.0, 1.0)]
    op = np.array([[op, Op.ROTATE] for op, _ in pairs])
    argument = np.array([[way * (25 if op == Op.ROTATE else 0.25), -way * 15] for op, way in pairs])
    images = torch.zeros(len(pairs), 3, side, side, dtype=torch.uint8)
    images[:, :, 26:32, 34:38] = 255  # middle at x = 36, y = 29
    moved = perform(images, op, argument)[:, 0].double()
    ours = move_points(
        [np.array([[36.0, 29.0]])] * len(pairs),
        np.array([[0, 0, side, side]] * len(pairs), float),
        np.zeros(len(pairs), bool),
        side,
        moves(op, argument, side),
    )
    centres = torch.arange(side) + 0.5
    for image, point in zip(moved, ours, strict=True):
        found = [float((image.sum(axis) * centres).sum() / image.sum()) for axis in (0, 1)]
        assert point[0].tolist() == pytest.approx(found, abs=0.15)


def test_boxes_are_hulls_clipped_at_each_step() -> None:
    boxes = [np.array([[40, 40, 60, 60], [0, 0, 10, 10], [90, 45, 110, 55]], np.float32)]
    whole, still = np.array([[0, 0, 100, 100]], float), np.array([False])
    quarter = moves(np.array([[Op.ROTATE]]), np.array([[45.0]]), 100)
    (got,) = move_boxes(boxes, whole, still, 100, quarter)
    half = 10 * 2**0.5
    np.testing.assert_allclose(got[0], [50 - half, 50 - half, 50 + half, 50 + half], atol=1e-3)
    assert not got[1].any()  # the corner has left the image
    there, back = (moves(np.array([[Op.TRANSLATE_X]]), np.array([[by]]), 100) for by in (0.3, -0.3))
    (got,) = move_boxes([np.array([[10, 0, 50, 9]], np.float32)], whole, still, 100, np.concatenate((there, back), 1))
    np.testing.assert_allclose(got, [[30, 0, 50, 9]], atol=1e-3)  # what left the image does not come back


@pytest.mark.parametrize(
    "options",
    [
        {"magnitude": 9},
        {"magnitude": 9, "augment_at": "base"},
        {"magnitude": 9, "augment_on": "device"},
        {"transforms": [RandAugment(9)], "magnitude": 9},
        {"transforms": [TrivialAugmentWide()]},
    ],
)
def test_the_loader_knows_what_moved(boxed: Path, options: dict[str, Any]) -> None:
    shared: dict[str, Any] = {"batch_size": 8, "resolution": 64, "num_workers": 1, "seed": 3, "dtype": "uint8"}
    fields = ("points", "index")
    with Loader(boxed, fields=fields, **shared) as still, Loader(boxed, fields=fields, **shared, **options) as moved:
        ((plain, first),), ((points, second),) = still, moved
    assert torch.equal(first, second)
    away = [float((a - b).abs().max()) for a, b in zip(plain, points, strict=True) if len(a)]
    assert max(away) > 3 and min(away) < 1e-3  # half of the operations are skipped, others change colours
    if options.get("transforms") is None or isinstance(options["transforms"][0], RandAugment):
        with Loader(boxed, fields=fields, **shared, magnitude=9) as reference:
            ((wanted, _),) = reference
        for got, one in zip(points, wanted, strict=True):
            torch.testing.assert_close(got, one, atol=1e-3, rtol=0)


def test_views_have_boxes_of_their_own(boxed: Path) -> None:
    options: dict[str, Any] = {"batch_size": 8, "resolution": 32, "num_workers": 1, "views": 2}
    with Loader(boxed, fields=("boxes", "crop"), **options) as loader:
        (((one, two), crops),) = loader
    assert [len(boxes) for boxes in one] == [len(boxes) for boxes in two] and len(one) == 8
    assert not torch.equal(*crops) and any(not torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_tables_hold_them_as_json(scenes: list[dict[str, Any]], boxed: Path, tmp_path: Path) -> None:
    with open(tmp_path / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "boxes", "points", "kinds"])
        for k, one in enumerate(scenes):
            (tmp_path / f"{k}.jpg").write_bytes(one["image"])
            values = [json.dumps(np.asarray(one[name]).tolist()) for name in ("boxes", "points", "kinds")]
            writer.writerow([f"{k}.jpg", 0, *values])
    convert(tmp_path / "table.csv", tmp_path / "x.beton", fields=FIELDS, workers=1)
    with open_dataset(tmp_path / "x.beton") as ours, open_dataset(boxed) as theirs:
        for a, b in zip(ours.read_field("boxes", range(8)), theirs.read_field("boxes", range(8)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([[1, 2, 3]], r"shape is \[1, 3\], must be \[any number, 4\]"),
        ([[5, 5, 2, 9]], r"x0 <= x1 and y0 <= y1 \(not x, y, width, height\)"),
        ([[1, 2, 3, float("nan")]], "a coordinate is not finite"),
    ],
)
def test_wrong_boxes_are_refused(scenes: list[dict[str, Any]], tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(BadSample, match=f"field `boxes` must be boxes, got .*{told}"):
        convert([{**scenes[0], "boxes": value}], tmp_path / "x.beton", fields=FIELDS, workers=1)


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
def masked_scenes() -> list[dict[str, Any]]:
    pairs = [picture(k) for k in range(8)]
    return [{"image": image, "label": 0, "mask": mask if k % 2 else png(mask)} for k, (image, mask) in enumerate(pairs)]


@pytest.fixture(scope="module")
def segmented(masked_scenes: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("masks") / "x.beton"
    convert(masked_scenes, out, fields={"label": "int", "mask": "mask"}, workers=1)
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


def test_a_source_gives_the_masks_of_its_pyramid(masked_scenes: list[dict[str, Any]], segmented: Path) -> None:
    from loaders.beton.fields import parse_fields
    from loaders.sources.open import open_source

    source = open_source(masked_scenes, fields=parse_fields({"label": "int", "mask": "mask"}))
    found = []
    for data in (source, segmented):
        with Loader(data, batch_size=8, resolution=32, fields=("mask",), num_workers=1) as loader:
            found.append(next(iter(loader))[0].numpy())
    np.testing.assert_array_equal(*found)


def test_masks_of_shards(masked_scenes: list[dict[str, Any]], segmented: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for k, scene in enumerate(masked_scenes):
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


def test_masks_that_do_not_fit_are_refused(masked_scenes: list[dict[str, Any]], tmp_path: Path) -> None:
    for wrong, told in (
        (png(np.zeros((5, 6), np.uint8)), "its mask `mask` is 6x5, its image 144x121; they must be of one size"),
        (png(np.zeros((5, 6, 3), np.uint8)), "must have one channel, got pixels of shape"),
        (b"no image", "a mask cannot be decoded"),
    ):
        bad = [masked_scenes[0], {**masked_scenes[1], "mask": wrong}]
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
