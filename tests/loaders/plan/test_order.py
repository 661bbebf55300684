from __future__ import annotations

import numpy as np
import pytest

from loaders.plan.order import (
    LARGE,
    TRIES,
    Batches,
    Sampling,
    Shares,
    epoch_order,
    occurrences,
    replacements,
)
from loaders.plan.pieces import BLOCK
from loaders.plan.rng import copy_numbers, sample_indices

KINDS = ("random", "sequential", "quasi")
WORLDS = (1, 2, 3, 4, 5)


def deliver(
    n: int, batch_size: int, world_size: int, drop_last: bool = False, position: int = 0
) -> tuple[list[list[slice]], int]:
    """What each rank takes from `position` to the end of the epoch, and the position reached."""
    taken: list[list[slice]] = [[] for _ in range(world_size)]
    ranks = shares(batch_size, world_size, drop_last)
    for _ in range(ranks[0].steps(n, position)):
        for rank, share in enumerate(ranks):
            taken[rank].append(share.slice(position, n))
        position = ranks[0].place(1, position, n)
    return taken, position


def shares(batch_size: int, world_size: int, drop_last: bool = False, uneven: str = "keep") -> list[Shares]:
    """Of each rank."""
    return [
        Shares(batch_size=batch_size, rank=rank, world_size=world_size, drop_last=drop_last, uneven=uneven)
        for rank in range(world_size)
    ]


def positions(taken: list[list[slice]]) -> list[int]:
    return [p for rank in taken for s in rank for p in range(s.start, s.stop)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000, 5000])
def test_an_order_has_each_sample_once(kind: str, n: int) -> None:
    order = epoch_order(n, 1, 2, kind)
    assert order[:].dtype == np.int64 and len(order) == n
    assert sorted(order[:]) == list(range(n))


@pytest.mark.parametrize("kind", ["random", "quasi"])
def test_an_order_depends_on_seed_and_epoch_and_nothing_else(kind: str) -> None:
    orders = [epoch_order(1000, seed, epoch, kind)[:] for seed in (0, 1) for epoch in (0, 1, 2)]
    for i, order in enumerate(orders):
        # A random permutation leaves one sample in place on average.
        assert all((order == other).sum() < 10 for other in (*orders[:i], np.arange(1000)))
    assert (epoch_order(1000, 1, 2, kind)[:] == orders[-1]).all()


def test_the_random_order_is_pinned() -> None:
    assert epoch_order(10, 0, 0)[:].tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]


def test_every_random_order_of_three_is_equally_likely() -> None:
    orders, counts = np.unique([epoch_order(3, seed, 0)[:] for seed in range(6000)], axis=0, return_counts=True)
    assert len(orders) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # chi square, 5 degrees of freedom, 0.1 %


def test_the_sequential_order_is_as_stored() -> None:
    assert epoch_order(5, 1, 2, "sequential")[:].tolist() == [0, 1, 2, 3, 4]


def test_quasi_random_keeps_neighbours_near() -> None:
    n, window = 100_003, 2048
    order = epoch_order(n, 1, 2, "quasi", window)
    for start in range(0, n, window):  # the short last block may shift windows by a few samples
        assert len(np.unique(order[start : start + window] // BLOCK)) <= 2 * window // BLOCK
    # Random order would touch a block anew with almost every sample of a window.
    assert len(np.unique(epoch_order(n, 1, 2)[:window] // BLOCK)) > 20 * window // BLOCK


def test_quasi_random_mixes_blocks_and_samples() -> None:
    batch = epoch_order(100_000, 1, 2, "quasi", 2048)[:256]
    assert len(np.unique(batch // BLOCK)) > 28  # almost all of the window's 32 blocks in one batch ...
    assert np.diff(np.unique(batch // BLOCK)).max() > 50  # ... from all over the data
    assert (np.diff(batch) == 1).mean() < 0.1  # not read in runs


def test_quasi_random_with_everything_in_one_window_is_random() -> None:
    order = epoch_order(1000, 1, 2, "quasi", 1024)[:]
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r'`kind` must be "random", "sequential" or "quasi", got \'shuffled\'\.'):
        epoch_order(10, 0, 0, "shuffled")


@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("n", [1, 2, 11, 24, 25, 60, 61, 97])
def test_every_sample_once_for_every_world_size(n: int, world_size: int) -> None:
    taken, end = deliver(n, 4, world_size)
    assert sorted(positions(taken)) == list(range(n))
    assert end == n
    sizes = np.array([[s.stop - s.start for s in rank] for rank in taken])
    rest = n % (4 * world_size)
    assert (sizes[:, :-2] == 4).all()  # all full but the last, which is shared evenly,
    assert (sizes[:, -2:-1] >= (3 if 0 < rest < world_size else 4)).all()  # and may take some from the one before,
    assert sizes[:, -1].max() - sizes[:, -1].min() <= 1
    assert n < world_size or (sizes > 0).all()  # so that every rank has as many batches
    for rank in range(world_size):
        assert shares(4, world_size)[rank].steps(n) == (sizes[rank] > 0).sum()


@pytest.mark.parametrize(
    ("n", "batch_size", "steps", "rest"), [(2, 4, [1, 1, 0], 2), (7, 1, [3, 2, 2], 1), (7, 2, [2, 2, 2], 3)]
)
def test_ranks_differ_in_batches_only_where_samples_are_too_few(
    n: int, batch_size: int, steps: list[int], rest: int
) -> None:
    assert [share.steps(n) for share in shares(batch_size, 3)] == steps
    assert [share.rest(n) for share in shares(batch_size, 3)] == [rest] * 3


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("n", [1, 24, 61])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("position", [0, 16])
def test_batches_are_cut_as_an_epoch_takes_them(n: int, world_size: int, drop_last: bool, position: int) -> None:
    order = epoch_order(n, 0, 0)
    taken, _ = deliver(n, 4, world_size, drop_last, min(position, n))
    for rank in range(world_size):
        batches = Batches(order, shares(4, world_size, drop_last)[rank], min(position, n))
        expected = [order[s].tolist() for s in taken[rank] if s.stop > s.start]
        assert [batch.tolist() for batch in batches] == expected
        assert [batch.tolist() for batch in batches[1:]] == expected[1:]
        with pytest.raises(IndexError):
            batches[len(expected)]


@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("n", [1, 24, 61, 97])
def test_drop_last_leaves_full_batches_on_every_rank(n: int, world_size: int) -> None:
    taken, end = deliver(n, 4, world_size, drop_last=True)
    assert sorted(positions(taken)) == list(range(end))
    assert n - end < 4 * world_size
    assert all(s.stop - s.start == 4 for rank in taken for s in rank)
    assert {len(rank) for rank in taken} == {n // (4 * world_size)}


def test_world_sizes_share_one_global_order() -> None:
    alone, _ = deliver(96, 12, 1)
    together, _ = deliver(96, 4, 3)
    for step, batch in enumerate(alone[0]):
        assert batch == slice(together[0][step].start, together[2][step].stop)


@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_an_epoch_goes_on_from_any_cursor(world_size: int, batch_size: int) -> None:
    n, position = 61, 0
    while position < n:  # every cursor a world of two with batches of three can reach
        taken, end = deliver(n, batch_size, world_size, position=position)
        assert sorted(positions(taken)) == list(range(position, n))
        assert end == n
        position = shares(3, 2)[0].place(1, position, n)


def test_resuming_unchanged_gives_the_batches_left() -> None:
    for n in range(49, 73):
        (whole, _), first = deliver(n, 4, 3), shares(4, 3)[0]
        for step in range(len(whole[0]) + 1):
            rest, _ = deliver(n, 4, 3, position=first.place(step, 0, n))
            assert rest == [rank[step:] for rank in whole]


@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("n", [3, 5, 24, 25, 61])
@pytest.mark.parametrize("uneven", ["drop", "pad"])
def test_ranks_have_equal_batches_where_they_must_not_differ(n: int, world_size: int, uneven: str) -> None:
    order, ranks = epoch_order(n, 0, 0), shares(4, world_size, uneven=uneven)
    taken = [list(Batches(order, share)) for share in ranks]
    assert len({tuple(map(len, batches)) for batches in taken}) == 1
    seen = [index for batches in taken for batch in batches for index in batch.tolist()]
    if uneven == "drop":
        assert len(set(seen)) == len(seen) and 0 <= n - len(seen) < world_size
        return
    counting, position = 0, 0
    for _ in taken[0]:
        masks = [share.mask(position, n) for share in ranks]
        counting += sum(share.slice(position, n).stop - share.slice(position, n).start for share in ranks)
        counting -= sum(int((~mask).sum()) for mask in masks if mask is not None)
        position = ranks[0].place(1, position, n)
    assert set(seen) == set(range(n)) and counting == n and len(seen) - n < world_size


def test_a_subset_is_shuffled_within_itself() -> None:
    chosen = np.array([40, 7, 99, 13])
    orders = [Sampling(n=100, seed=3, indices=chosen).order(epoch)[:] for epoch in range(9)]
    assert all(sorted(order) == [7, 13, 40, 99] for order in orders)
    assert len({tuple(order) for order in orders}) > 3
    assert Sampling(n=100, seed=3, indices=chosen, kind="sequential").order(0)[:].tolist() == chosen.tolist()


def test_weights_draw_with_replacement_and_copies_differ() -> None:
    sampling = Sampling(n=4, seed=1, indices=None, weights=np.array([0.0, 1.0, 1.0, 6.0]))
    keys = np.concatenate([sampling.order(epoch)[:] for epoch in range(1000)])
    share = np.bincount(sample_indices(keys), minlength=4) / len(keys)
    np.testing.assert_allclose(share, [0, 0.125, 0.125, 0.75], atol=0.02)
    orders = [sampling.order(epoch)[:] for epoch in (*range(9), 8)]
    assert all(len(set(order)) == 4 for order in orders)  # keys, not indices
    assert orders[9].tolist() == orders[8].tolist() != orders[7].tolist()


def test_repeated_augmentation_shows_a_third_of_the_samples_three_times() -> None:
    keys = Sampling(n=100, seed=1, repeats=3).order(0)[:]
    assert len(keys) == 100 and len(set(keys.tolist())) == 100
    samples = sample_indices(keys[:99]).reshape(33, 3)
    assert (samples == samples[:, :1]).all() and len(np.unique(samples)) == 33
    assert copy_numbers(keys[:6]).tolist() == [0, 1, 2, 0, 1, 2]


def test_occurrences_count_equal_values_before() -> None:
    assert occurrences(np.array([7, 3, 7, 7, 3])).tolist() == [0, 0, 1, 2, 1]
    assert occurrences(np.array([], np.int64)).tolist() == []


def test_views_are_copies_of_each_sample() -> None:
    order, share = np.arange(10), shares(4, 1)[0]
    batches = list(Batches(order, share, views=2))
    assert sample_indices(batches[0]).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert copy_numbers(batches[0]).tolist() == [0] * 4 + [1] * 4 and batches[0][:4].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"indices": np.array([5, 10])}, "`indices` must be from 0 to 9, got 10."),
        ({"indices": np.array([], np.int64)}, "`indices` must name at least one sample, got none."),
        ({"weights": np.ones(3)}, "`weights` must be 10 numbers, one per sample, got shape [3]."),
        ({"weights": np.zeros(10)}, "`weights` must be finite and 0 or more, not all 0;"),
        ({"repeats": 0}, "`aug_repeats` must be a whole number from 1 to 32768, got 0."),
    ],
)
def test_wrong_sampling_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        Sampling(n=10, seed=0, **options)  # type: ignore[arg-type]
    assert said in str(raised.value)


@pytest.mark.parametrize(("kind", "n"), [("random", LARGE + 5), ("quasi", LARGE + 5), ("quasi", 70)])
def test_orders_that_are_computed_read_like_arrays(kind: str, n: int) -> None:
    order = epoch_order(n, 1, 2, kind, 4096)
    for part in (slice(0, 7), slice(n - 3, n + 9), slice(n // 2, n // 2 + 5000, 3), slice(5, 5)):
        expected = np.arange(n)[part]
        assert order[part].tolist() == order[expected].tolist() and len(order[part]) == len(expected)
    around = np.array([n - 1, 0, n - 1])
    assert order[around].tolist() == [order[n - 1 : n][0], order[:1][0], order[n - 1 : n][0]]


def test_the_order_of_a_large_set_has_each_sample_once() -> None:
    order = epoch_order(LARGE + 5, 1, 2)
    assert not isinstance(order, np.ndarray)
    assert (np.bincount(order[:], minlength=LARGE + 5) == 1).all()


class Backwards:
    """Samples that lie in the opposite order."""

    def __init__(self, n: int) -> None:
        self.n = n

    def indices(self, positions: np.ndarray) -> np.ndarray:
        return self.n - 1 - positions

    positions = indices


def test_quasi_random_walks_the_order_of_storage() -> None:
    plain, moved = (
        Sampling(n=500, seed=1, kind="quasi", window=64, storage=s).order(3) for s in (None, Backwards(500))
    )
    assert moved[:].tolist() == (499 - plain[:]).tolist() and len(moved) == 500
    assert Sampling(n=500, seed=1, storage=Backwards(500)).order(3)[:].tolist() == epoch_order(500, 1, 3)[:].tolist()


def test_quasi_random_takes_a_subset_in_the_order_of_storage() -> None:
    chosen = np.arange(0, 1000, 2)
    order = Sampling(n=1000, seed=1, kind="quasi", window=64, storage=Backwards(1000), indices=chosen).order(0)[:]
    assert sorted(order) == chosen.tolist()
    assert np.ptp(order[:52]) <= 2 * 64  # one block of the subset's neighbours, whichever comes first


def test_stand_ins_depend_on_the_sample_alone_and_are_in_range() -> None:
    first = replacements(0, 0, 5, 1000)
    assert first == replacements(0, 0, 5, 1000) and len(first) == TRIES
    assert all(0 <= i < 1000 for i in first) and len(set(first)) > TRIES // 2
    others = [replacements(1, 0, 5, 1000), replacements(0, 1, 5, 1000), replacements(0, 0, 6, 1000)]
    assert all(first != other for other in others)
