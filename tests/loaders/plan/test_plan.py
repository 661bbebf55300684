from __future__ import annotations

import numpy as np
import pytest

from loaders import plan
from loaders.plan import ENTRY, SAMPLE, CropGeometry, plan_batch
from loaders.plan.crop import eval_boxes, flips, train_boxes
from loaders.plan.filters import build
from loaders.plan.level import DCT_OVERSAMPLE, OVERSAMPLE, choose
from loaders.plan.rng import draw_keys


def entries_of(n: int, levels: int = 3) -> np.ndarray:
    """[n, levels] records of images of many sizes, reduced sizes rounded up; offsets tell them apart."""
    size = np.random.default_rng(0).integers(100, 700, (2, n, 1))
    entries = np.zeros((n, levels), ENTRY)
    entries["width"], entries["height"] = -(-size // 2 ** np.arange(levels))
    entries["offset"] = np.arange(n * levels).reshape(n, levels)
    return entries


def train_plan(entries: np.ndarray, indices: np.ndarray, **changed: object) -> np.ndarray:
    options: dict = {"seed": 1, "epoch": 2, "resolution": 96, "train": True} | changed
    return plan_batch(entries, indices, **options)


def test_a_training_plan_says_level_box_scale_and_flip() -> None:
    entries, indices = entries_of(300), np.arange(300) * 7
    samples = train_plan(entries, indices)
    boxes = train_boxes(entries["width"][:, 0], entries["height"][:, 0], 1, 2, indices)
    level, scale = choose(entries, boxes, 96, OVERSAMPLE, DCT_OVERSAMPLE)
    assert samples.dtype == SAMPLE
    assert set(level) == {0, 1, 2}
    assert (samples["entry"] == entries[np.arange(300), level]).all()
    assert (samples["scale"] == scale).all()
    assert (samples["flip"] == flips(1, 2, indices)).all()
    assert (samples["full"] == boxes[:, 2:] - boxes[:, :2]).all()
    # The box covers the same share of its level as of the full size, on each axis by itself.
    for side, name in enumerate(("width", "height")):
        share = samples["box"][:, side::2] / samples["entry"][name][:, None]
        np.testing.assert_allclose(share, boxes[:, side::2] / entries[name][:, :1], rtol=1e-6)


def test_an_evaluation_plan_is_central_and_never_flipped() -> None:
    entries, indices = entries_of(300), np.arange(300)
    samples = train_plan(entries, indices, train=False)
    boxes = eval_boxes(entries["width"][:, 0], entries["height"][:, 0], 96)
    np.testing.assert_allclose(samples["full"], boxes[:, 2:] - boxes[:, :2], rtol=1e-6)
    assert not samples["flip"].any()
    assert (samples == train_plan(entries, indices, train=False, seed=5, epoch=6)).all()


@pytest.mark.parametrize("train", [True, False])
def test_boxes_stay_inside_their_level(train: bool) -> None:
    entries = entries_of(2000)
    for resolution in (32, 96, 224):
        samples = train_plan(entries, np.arange(2000), resolution=resolution, train=train)
        assert (samples["box"] >= 0).all()
        assert (samples["box"][:, 2] <= samples["entry"]["width"]).all()
        assert (samples["box"][:, 3] <= samples["entry"]["height"]).all()


def test_a_crop_of_the_whole_image_is_the_whole_level() -> None:
    entries = np.zeros((1, 2), ENTRY)
    entries["width"], entries["height"] = (1, 1), (1, 1)
    sample = train_plan(entries, np.array([0]))[0]
    assert sample["box"].tolist() == [0, 0, 1, 1]


def test_a_sample_is_planned_the_same_in_any_batch_and_at_any_resolution() -> None:
    entries, indices = entries_of(100), np.arange(100)
    together = train_plan(entries, indices)
    for row in (0, 17, 99):
        one = slice(row, row + 1)
        assert train_plan(entries[one], indices[one]).tobytes() == together[one].tobytes()
    larger = train_plan(entries, indices, resolution=224)
    assert (larger["full"] == together["full"]).all()
    assert (larger["flip"] == together["flip"]).all()
    assert (larger["entry"]["width"] >= together["entry"]["width"]).all()


def test_max_level_zero_reads_full_size_only() -> None:
    entries, indices = entries_of(100), np.arange(100)
    samples = train_plan(entries, indices, max_level=0)
    assert (samples["entry"] == entries[:, 0]).all()
    assert (samples["full"] == train_plan(entries, indices)["full"]).all()
    assert (train_plan(entries, indices, max_level=2) == train_plan(entries, indices)).all()


def test_oversample_reaches_the_choice_of_level() -> None:
    entries, indices = entries_of(100), np.arange(100)
    finer = train_plan(entries, indices, oversample=2.0)["entry"]["width"]
    assert finer.mean() > train_plan(entries, indices, oversample=1.0)["entry"]["width"].mean()


def test_evaluation_takes_a_level_only_with_pixels_to_spare() -> None:
    entries = np.zeros((2, 3), ENTRY)
    entries["width"], entries["height"] = [(500, 250, 125), (2000, 1000, 500)], [(375, 188, 94), (1500, 750, 375)]
    samples = train_plan(entries, np.arange(2), train=False)
    assert samples["entry"]["width"].tolist() == [500, 1000]
    assert samples["scale"].tolist() == [1, 2]
    samples = train_plan(entries, np.arange(2), train=False, resolution=224)
    assert samples["entry"]["width"].tolist() == [500, 2000]


def test_only_evaluation_with_a_filter_has_a_margin() -> None:
    entries, indices = entries_of(100), np.arange(100)
    filter_ = build(96)
    assert not train_plan(entries, indices, filter=filter_)["margin"].any()
    assert not train_plan(entries, indices, train=False)["margin"].any()
    samples = train_plan(entries, indices, train=False, filter=filter_)
    wanted = filter_.reach(samples["full"]) * (samples["box"][:, 2:] - samples["box"][:, :2])
    assert (samples["margin"] >= wanted.max(axis=1)).all()
    assert (samples["margin"] <= wanted.max(axis=1) + 1 + samples["scale"]).all()


def test_only_a_border_has_a_colour() -> None:
    entries, indices = entries_of(10), np.arange(10)
    border, squash = (CropGeometry(crop_mode=mode, fill=(1, 2, 3)) for mode in ("border", "squash"))
    assert (train_plan(entries, indices, train=False, geometry=border)["fill"] == (1, 2, 3)).all()
    assert not train_plan(entries, indices, train=False, geometry=squash)["fill"].any()
    assert not train_plan(entries, indices, geometry=border)["fill"].any()


def test_an_empty_batch_is_planned() -> None:
    for train in (True, False):
        assert train_plan(entries_of(0), np.arange(0), train=train).shape == (0,)


def test_a_full_size_that_is_not_known_is_an_error() -> None:
    entries = entries_of(5)
    entries["width"][3, 0] = 0
    entries["height"][3, 0] = 250
    with pytest.raises(ValueError, match=r"`entries` must give .* got 0x250 for sample 13; read its header first\."):
        train_plan(entries, draw_keys(np.arange(10, 15), copies=2))


def test_a_reduced_level_that_is_not_stored_is_left_out() -> None:
    entries = entries_of(100)
    entries["width"][:, 1:] = entries["height"][:, 1:] = 0
    assert (train_plan(entries, np.arange(100))["entry"] == entries[:, 0]).all()


def test_the_door_is_sorted_and_complete() -> None:
    assert plan.__all__ == sorted(plan.__all__)
    assert all(hasattr(plan, name) for name in plan.__all__)
