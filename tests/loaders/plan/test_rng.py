from __future__ import annotations

import numpy as np
import pytest

from loaders.plan.rng import Purpose, below, philox, sequence, uniform, words


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known-answer tests that Philox's authors publish with it
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_answers(counter: str, key: str, expected: str) -> None:
    column = np.array([int(word, 16) for word in counter.split()], np.uint64)[:, None]
    first, second = (int(word, 16) for word in key.split())
    answer = philox(np.repeat(column, 3, axis=1), (first, second))
    assert [" ".join(f"{word:08x}" for word in row) for row in answer.T] == [expected] * 3


def test_words_puts_each_argument_in_words_of_its_own() -> None:
    seed, epoch, index = 0x1122334455667788, 7, 0x99AABBCCDD
    drawn = words(seed, epoch, np.array([3, index]), Purpose.FLIP, 7)
    counter = [[0xAABBCCDD] * 2, [0x99] * 2, [epoch] * 2, [Purpose.FLIP << 16, Purpose.FLIP << 16 | 1]]
    expected = philox(np.array(counter, np.uint64), (0x55667788, 0x11223344))
    assert drawn.shape == (2, 7)
    assert drawn.dtype == np.uint32
    assert drawn[1].tolist() == expected.T.ravel()[:7].tolist()


def test_neighbouring_seeds_epochs_indices_and_purposes_share_nothing() -> None:
    near = np.array([0, 1, 2, 3, 4, 5, 6, 7, 2**16, 2**32, 2**32 + 1, 2**40])
    seeds = [0, 1, 2, 3, 2**16, 2**32, 2**32 + 1, 2**64 - 1]
    epochs = [0, 1, 2, 3, 2**16, 2**32 - 1]
    drawn = [words(s, e, near, p, 16) for s in seeds for e in epochs for p in (*Purpose, 256, 65535)]
    groups = np.concatenate(drawn).reshape(-1, 4)  # 128 bits each: not one may appear twice
    assert len(groups) == 8 * 6 * (len(Purpose) + 2) * 12 * 4
    assert len(np.unique(groups, axis=0)) == len(groups)


def test_a_sample_draws_the_same_in_any_batch() -> None:
    indices = np.array([5, 90, 17, 4, 1_281_166, 5])
    together = words(1, 2, indices, Purpose.CROP, 12)
    for row, index in enumerate(indices):
        assert (words(1, 2, np.array([index]), Purpose.CROP, 12)[0] == together[row]).all()
    assert (words(1, 2, indices[::-1], Purpose.CROP, 5) == together[::-1, :5]).all()
    assert words(1, 2, indices[:0], Purpose.CROP, 12).shape == (0, 12)


def test_sequence_is_pinned() -> None:
    # If this fails, NumPy's raw Philox stream has changed, and with it everybody's order.
    assert [f"{word:016x}" for word in sequence(1, 2, Purpose.ORDER, 2)] == [
        "4f2f4313b5536b09",
        "5b617be3219ff32a",
    ]


def test_sequences_of_neighbours_share_nothing() -> None:
    drawn = [sequence(s, e, p, 50) for s in (0, 1, 2**64 - 1) for e in (0, 1, 2**32 - 1) for p in Purpose]
    assert len(np.unique(drawn)) == 9 * len(Purpose) * 50
    assert (sequence(3, 4, Purpose.ORDER, 20)[:10] == sequence(3, 4, Purpose.ORDER, 10)).all()


def test_uniform_stays_below_one_and_is_uniform() -> None:
    assert uniform(np.array([0, 2**31, 2**32 - 1], np.uint32)).tolist() == [0.0, 0.5, 1 - 2.0**-32]
    drawn = np.sort(uniform(words(0, 0, np.arange(5000), Purpose.CROP, 4)).ravel())
    assert np.abs(drawn - np.arange(20000) / 20000).max() < 1.95 / np.sqrt(20000)  # Kolmogorov-Smirnov, 0.1 %


def test_below_covers_its_range_evenly() -> None:
    extremes = np.array([0, 2**32 - 1], np.uint32)
    assert below(extremes, 7).tolist() == [0, 6]
    assert below(extremes, np.array([1, 2**31])).tolist() == [0, 2**31 - 1]
    counts = np.bincount(below(words(0, 0, np.arange(7000), Purpose.REPLACE, 1)[:, 0], 7))
    assert ((counts - 1000) ** 2 / 1000).sum() < 22.5  # chi square, 6 degrees of freedom, 0.1 %


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    message = rf"`seed` must be an integer from 0 to 2\*\*64 - 1, got {seed}; take `seed % 2\*\*64`\."
    with pytest.raises(ValueError, match=message):
        words(seed, 0, np.arange(1), Purpose.CROP, 1)
    with pytest.raises(ValueError, match=message):
        sequence(seed, 0, Purpose.ORDER, 1)


@pytest.mark.parametrize("epoch", [-1, 2**32])
def test_an_epoch_out_of_range_is_refused(epoch: int) -> None:
    with pytest.raises(ValueError, match=rf"`epoch` must be .* got {epoch}; count epochs from 0\."):
        words(0, epoch, np.arange(1), Purpose.CROP, 1)
