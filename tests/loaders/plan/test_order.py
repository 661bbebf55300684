from __future__ import annotations

import numpy as np
import pytest

from loaders.plan.order import WINDOW, Batches, batch_slice, epoch_order, next_position, steps_per_epoch

KINDS = ("random", "sequential", "quasi")
WORLDS = (1, 2, 3, 4, 5)


def deliver(
    n: int, batch_size: int, world_size: int, drop_last: bool = False, position: int = 0
) -> tuple[list[list[slice]], int]:
    """What each rank takes from `position` to the end of the epoch, and the position reached."""
    taken: list[list[slice]] = [[] for _ in range(world_size)]
    for _ in range(steps_per_epoch(n, batch_size, world_size, drop_last, position)):
        for rank in range(world_size):
            taken[rank].append(batch_slice(position, n, batch_size, rank, world_size))
        position = next_position(position, n, batch_size, world_size)
    return taken, position


def positions(taken: list[list[slice]]) -> list[int]:
    return [p for rank in taken for s in rank for p in range(s.start, s.stop)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000, 5000])
def test_an_order_has_each_sample_once(kind: str, n: int) -> None:
    order = epoch_order(n, 1, 2, kind)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(n))


@pytest.mark.parametrize("kind", ["random", "quasi"])
def test_an_order_depends_on_seed_and_epoch_and_nothing_else(kind: str) -> None:
    orders = [epoch_order(1000, seed, epoch, kind) for seed in (0, 1) for epoch in (0, 1, 2)]
    for i, order in enumerate(orders):
        # A random permutation leaves one sample in place on average.
        assert all((order == other).sum() < 10 for other in (*orders[:i], np.arange(1000)))
    assert (epoch_order(1000, 1, 2, kind) == orders[-1]).all()


def test_the_random_order_is_pinned() -> None:
    assert epoch_order(10, 0, 0).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]


def test_every_random_order_of_three_is_equally_likely() -> None:
    orders, counts = np.unique([epoch_order(3, seed, 0) for seed in range(6000)], axis=0, return_counts=True)
    assert len(orders) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # chi square, 5 degrees of freedom, 0.1 %


def test_the_sequential_order_is_as_stored() -> None:
    assert epoch_order(5, 1, 2, "sequential").tolist() == [0, 1, 2, 3, 4]


def test_quasi_random_keeps_neighbours_near() -> None:
    n, block = 100_003, 16
    order = epoch_order(n, 1, 2, "quasi", block)
    span = block * WINDOW
    for start in range(0, n, span):  # the short last block may shift windows by a few samples
        assert len(np.unique(order[start : start + span] // block)) <= 2 * WINDOW
    # Random order would touch a block anew with every sample of a window.
    assert len(np.unique(epoch_order(n, 1, 2)[:span] // block)) > 10 * WINDOW


def test_quasi_random_mixes_blocks_and_samples() -> None:
    order = epoch_order(100_000, 1, 2, "quasi", 16)
    batch = order[:256]
    assert len(np.unique(batch // 16)) > WINDOW // 2  # many blocks in one batch ...
    assert np.abs(np.diff(np.unique(batch // 16))).max() > 100  # ... from all over the data
    assert (np.diff(batch) == 1).mean() < 0.1  # not read in runs


def test_quasi_random_with_everything_in_one_block_is_random() -> None:
    order = epoch_order(1000, 1, 2, "quasi", 1000)
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
    assert (sizes[:, :-1] == 4).all()  # all full but the last,
    assert sizes[:, -1].max() - sizes[:, -1].min() <= 1  # which is shared evenly
    for rank in range(world_size):
        assert steps_per_epoch(n, 4, world_size, rank=rank) == (sizes[rank] > 0).sum()


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("n", [1, 24, 61])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("position", [0, 16])
def test_batches_are_cut_as_an_epoch_takes_them(n: int, world_size: int, drop_last: bool, position: int) -> None:
    order = epoch_order(n, 0, 0)
    taken, _ = deliver(n, 4, world_size, drop_last, min(position, n))
    for rank in range(world_size):
        batches = Batches(order, 4, rank, world_size, drop_last, min(position, n))
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
        position = next_position(position, n, 3, 2)


def test_resuming_unchanged_gives_the_batches_left() -> None:
    whole, _ = deliver(61, 4, 3)
    for step in range(6):
        rest, _ = deliver(61, 4, 3, position=12 * step)
        assert rest == [rank[step:] for rank in whole]
