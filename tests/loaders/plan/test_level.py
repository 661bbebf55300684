from __future__ import annotations

import numpy as np
import pytest

from loaders.plan import level
from loaders.plan.level import choose
from loaders.plan.records import ENTRY


def pyramid(*sizes: tuple[int, int]) -> np.ndarray:
    """[1, levels] entries of these sizes."""
    entries = np.zeros((1, len(sizes)), ENTRY)
    entries["width"], entries["height"] = np.array(sizes).T
    return entries


PLAIN = {2: 1.0, 4: 1.0, 8: 1.0}
"""The rule itself is tested at 1, whatever the benchmark has settled on."""
THREE = pyramid((800, 600), (400, 300), (200, 150))
FULL = pyramid((800, 600))
HOLE = pyramid((800, 600), (0, 0), (200, 150))
FINE = pyramid((800, 600), (566, 424), (400, 300), (283, 212), (200, 150))


@pytest.mark.parametrize(
    ("entries", "crop", "resolution", "expected"),
    [
        (THREE, (400, 400), 96, (2, 1)),  # 100x100 at the coarsest
        (THREE, (384, 384), 96, (2, 1)),  # just enough
        (THREE, (383, 384), 96, (1, 1)),  # one side short of it
        (THREE, (384, 383), 96, (1, 1)),
        (THREE, (384, 384), 98, (1, 1)),
        (THREE, (192, 600), 96, (1, 1)),
        (THREE, (191, 600), 96, (0, 1)),
        (THREE, (50, 50), 96, (0, 1)),  # not enough anywhere: full size, up-sampled
        (THREE, (800, 600), 32, (2, 4)),  # 200x150 at the coarsest, and scaled
        (THREE, (800, 600), 16, (2, 8)),
        (FULL, (191, 600), 96, (0, 1)),  # no pyramid: only DCT scales
        (FULL, (192, 600), 96, (0, 2)),
        (FULL, (384, 383), 96, (0, 2)),
        (FULL, (384, 384), 96, (0, 4)),
        (FULL, (800, 600), 75, (0, 8)),
        (FULL, (800, 600), 76, (0, 4)),
        (HOLE, (384, 384), 96, (2, 1)),
        (HOLE, (383, 384), 96, (0, 2)),  # a level that is not stored is never taken
        (FINE, (300, 300), 96, (3, 1)),
        (FINE, (200, 200), 96, (2, 1)),
        (FINE, (136, 136), 96, (1, 1)),
    ],
)
def test_the_coarsest_level_then_the_largest_scale(
    entries: np.ndarray, crop: tuple[int, int], resolution: int, expected: tuple[int, int]
) -> None:
    chosen, scale = choose(entries, np.array([[0.0, 0.0, *crop]]), resolution, 1.0, PLAIN)
    assert (chosen[0], scale[0]) == expected
    assert scale.dtype == np.uint8


def test_oversample_asks_for_more_pixels_of_the_level() -> None:
    boxes = np.array([[0.0, 0.0, 400.0, 400.0]])
    assert choose(THREE, boxes, 96, 1.04, PLAIN)[0] == 2
    assert choose(THREE, boxes, 96, 1.05, PLAIN)[0] == 1
    assert choose(THREE, boxes, 96, 2.1, PLAIN)[0] == 0


def test_the_scale_table_asks_for_more_pixels_after_scaling() -> None:
    table = {2: 1.5, 4: 1.25}
    sides = [287, 288, 479, 480, 599]
    scales = [choose(FULL, np.array([[0.0, 0.0, side, side]]), 96, 1.0, table)[1][0] for side in sides]
    assert scales == [1, 2, 2, 4, 4]


def test_samples_of_one_batch_choose_for_themselves() -> None:
    crops = np.array([[0, 0, 800, 600], [10, 10, 60, 60], [300, 100, 520, 320], [0, 0, 383, 600]], float)
    together = choose(np.repeat(THREE, 4, axis=0), crops, 96, 1.0, PLAIN)
    alone = [choose(THREE, crop[None], 96, 1.0, PLAIN) for crop in crops]
    assert together[0].tolist() == [int(chosen[0]) for chosen, _ in alone] == [2, 0, 1, 1]
    assert together[1].tolist() == [int(scale[0]) for _, scale in alone]


@pytest.mark.parametrize(("resolution", "more"), [(64, 1.0), (96, 1.0), (97, 1.1), (128, 1.1), (160, 1.0), (224, 1.0)])
def test_training_between_96_and_160_and_evaluation_ask_for_more_pixels(resolution: int, more: float) -> None:
    assert level.oversample(resolution, train=True) == more
    assert level.oversample(resolution, train=False) == level.EVAL_OVERSAMPLE


@pytest.mark.parametrize("table", [level.DCT_OVERSAMPLE, level.EVAL_DCT_OVERSAMPLE])
def test_the_scale_tables_name_only_scales_the_kernel_has(table: dict[int, float]) -> None:
    assert set(table) <= {2, 4, 8}
