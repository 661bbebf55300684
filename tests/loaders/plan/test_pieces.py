from __future__ import annotations

import numpy as np
import pytest

from loaders.plan.order import Sampling, epoch_order
from loaders.plan.permutation import Permutation
from loaders.plan.pieces import LEAST_WINDOW, WINDOW_BYTES, window_of

CLASSES, EACH, BATCH = 100, 500, 256


@pytest.mark.parametrize(
    ("samples", "image_bytes", "window"),
    [
        (1_281_167, 1_281_167 * 110_000, 8192),
        (1_281_167, 1_281_167 * 11_000, 65_536),
        (1_000, 1_000 * 110_000, 8192),  # more than there are: all in one window
        (5_000, 5_000 * 50_000_000, LEAST_WINDOW),
        (5_000, 0, 5_000),
        (0, 0, 1),
    ],
)
def test_windows_hold_about_a_gigabyte(samples: int, image_bytes: int, window: int) -> None:
    assert window_of(samples, image_bytes) == window
    if samples > 1_000_000:
        assert WINDOW_BYTES / 2 < window * image_bytes / samples <= WINDOW_BYTES


class Shuffled:
    """As `beton.stored_order.Shuffled`, with a key of its own."""

    def __init__(self, n: int) -> None:
        self.indices = Permutation(n, 0, 0, 300)
        self.positions = self.indices.inverse


def chi_square(order: np.ndarray) -> float:
    """Of the classes in each whole batch against equal shares, per degree of freedom; 1 for full shuffling."""
    labels = order[: len(order) // BATCH * BATCH] // EACH
    counts = np.stack([np.bincount(batch, minlength=CLASSES) for batch in labels.reshape(-1, BATCH)])
    expected = BATCH / CLASSES
    return float(((counts - expected) ** 2 / expected).sum() / (len(counts) * (CLASSES - 1)))


def test_batches_mix_classes_as_full_shuffling_does() -> None:
    """A set sorted by class, in windows of a 24th of it: fair only if the set is stored shuffled."""
    n = CLASSES * EACH
    fully = chi_square(epoch_order(n, 0, 0)[:])
    options = {"n": n, "seed": 0, "kind": "quasi", "window": 2048}
    quasi = chi_square(Sampling(**options, storage=Shuffled(n)).order(0)[:])  # type: ignore[arg-type]
    as_sorted = chi_square(Sampling(**options).order(0)[:])  # type: ignore[arg-type]
    # Over some 19,000 degrees of freedom the standard deviation is 0.01.
    assert abs(fully - 1) < 0.05 and abs(quasi - 1) < 0.05
    assert as_sorted > 3


def test_neighbours_of_one_window_part_in_the_next_epoch() -> None:
    orders = [epoch_order(100_000, 0, epoch, "quasi", 2048) for epoch in (0, 1)]
    blocks = [set((order[:2048] // 64).tolist()) for order in orders]
    assert len(blocks[0] & blocks[1]) < 8
