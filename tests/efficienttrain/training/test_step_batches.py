from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from efficienttrain import Stage
from efficienttrain.training.batch_layout import Layout
from efficienttrain.training.step_batches import Feed
from loaders import Loader

SMALL, LARGE = Stage(32, None, 0.5), Stage(48, None, 0.5)


def labels(feed: Feed, number: int) -> list[int]:
    return [int(label) for _, _, found in feed.step(number) for label in found]


@pytest.fixture
def loader(jpeg_folder: Path) -> Loader:
    return Loader(jpeg_folder / "train", batch_size=1, num_workers=1)


def order(loader: Loader, epoch: int) -> list[int]:
    """Labels of an epoch of 24 samples, one after the other."""
    loader.set_stage(batch_size=24, resolution=32)
    loader.set_epoch(epoch)
    return [int(label) for _, found in loader for label in found]


def test_steps_walk_the_epochs_whatever_the_layout(loader: Loader) -> None:
    wanted = order(loader, 0)[:20] + order(loader, 1)[:20]  # 4 of 24 are too few for a step of 10
    for accumulation, micro in ((1, 10), (2, 5), (5, 2)):
        loader.load_state_dict({**loader.state_dict(), "epoch": 0, "position": 0})
        feed = Feed(loader, rank=0, seed=0)
        feed.begin(SMALL, Layout(1, accumulation, micro))
        assert [label for number in range(4) for label in labels(feed, number)] == wanted
        feed.close()


def test_a_stage_goes_on_where_the_last_one_stopped(loader: Loader) -> None:
    wanted = order(loader, 0)
    loader.load_state_dict({**loader.state_dict(), "epoch": 0, "position": 0})
    feed = Feed(loader, rank=0, seed=0)
    feed.begin(SMALL, Layout(1, 1, 6))
    got = labels(feed, 0) + labels(feed, 1)
    feed.begin(LARGE, Layout(1, 2, 4))
    batches = list(feed.step(2))
    assert {images.shape[-1] for _, images, _ in batches} == {48}
    assert got + [int(label) for _, _, found in batches for label in found] == wanted[:20]
    feed.close()


def test_a_step_can_be_repeated(loader: Loader) -> None:
    feed = Feed(loader, rank=0, seed=0)
    feed.begin(SMALL, Layout(1, 2, 4))
    labels(feed, 0)
    place = feed.cursor
    first = labels(feed, 1)
    feed.rewind(place)
    assert labels(feed, 1) == first
    feed.close()


def test_groups_count_over_all_ranks(loader: Loader) -> None:
    feed = Feed(loader, rank=1, seed=0)
    feed.begin(SMALL, Layout(ranks=3, accumulation=2, micro=2))
    assert [group for group, _, _ in feed.step(0)] == [1, 4]
    feed.close()


@pytest.mark.parametrize("at", [2, 7, 11])
def test_a_replay_buffer_is_filled_again(jpeg_folder: Path, at: int) -> None:
    layout = Layout(1, 2, 4, factor=2)

    def run(first: int, last: int, state: dict | None = None) -> tuple[list[torch.Tensor], dict]:
        with Loader(jpeg_folder / "train", 1, num_workers=1) as loader:
            feed = Feed(loader, rank=0, seed=0)
            feed.begin(SMALL, layout, buffer=5)
            if state is not None:
                assert feed.load_state_dict(state)
            made = [images for number in range(first, last) for _, images, _ in feed.step(number)]
            state = feed.state_dict()
            feed.close()
            return made, state

    straight, _ = run(0, 14)
    before, state = run(0, at)
    after, _ = run(at, 14, state)
    assert torch.equal(torch.stack(before + after), torch.stack(straight))
    assert len(state["held"]) == min(5, 2 * at)


def test_another_layout_begins_with_an_empty_buffer(loader: Loader) -> None:
    feed = Feed(loader, rank=0, seed=0)
    feed.begin(SMALL, Layout(1, 2, 4, factor=2), buffer=5)
    labels(feed, 0)
    state = feed.state_dict()
    feed.begin(SMALL, Layout(1, 4, 2, factor=2), buffer=5)
    assert not feed.load_state_dict(state)
    assert len(labels(feed, 1)) == 8
    feed.close()


BETWEEN: dict[str, Callable[[Feed, int], object]] = {
    "nothing": lambda _, __: None,
    "resumed": lambda feed, _: feed.load_state_dict(feed.state_dict()),
    "measured": lambda feed, ranks: measured(feed, ranks),
    "saved by rank 0, then measured": lambda feed, ranks: (feed._rank or feed.state_dict(), measured(feed, ranks)),
}
"""What may happen between two stages."""


def measured(feed: Feed, ranks: int) -> None:
    """Takes a small micro-batch and goes back, as `micro_batch.fitting` does on a GPU."""
    cursor = feed.cursor
    feed.begin(LARGE, Layout(ranks, 1, 1))
    next(feed.step(2))
    feed.rewind(cursor)


@pytest.mark.parametrize("between", BETWEEN)
def test_the_next_stage_sees_the_same_samples_on_any_number_of_ranks(jpeg_folder: Path, between: str) -> None:
    def steps(ranks: int, accumulation: int, event: str) -> list[list[int]]:
        """The samples of two steps of 10 and two of 4, of 24 in all: the first stage leaves 4 of the epoch."""
        found: list[list[int]] = [[], [], [], []]
        for rank in range(ranks):
            with opened(jpeg_folder, rank, ranks) as loader:
                feed = Feed(loader, rank=rank, seed=0)
                feed.begin(SMALL, Layout(ranks, accumulation, 10 // ranks // accumulation))
                for number in (0, 1):
                    found[number] += labels(feed, number)
                BETWEEN[event](feed, ranks)
                feed.begin(LARGE, Layout(ranks, 1, 4 // ranks))
                for number in (2, 3):
                    found[number] += labels(feed, number)
                feed.close()
        return [sorted(samples) for samples in found]

    wanted = steps(1, 1, "nothing")
    for ranks, accumulation in ((1, 1), (1, 5), (2, 1), (2, 5)):
        assert steps(ranks, accumulation, between) == wanted


@pytest.mark.parametrize("batches", [(20, 4, 8), (4, 12, 4), (8, 24, 20, 4)])
def test_every_step_can_be_resumed_at_on_another_number_of_ranks(jpeg_folder: Path, batches: tuple[int, ...]) -> None:
    rows = [batch for batch in batches for _ in range(3)]  # three steps a stage

    def walk(ranks: int, first: int, states: list[dict]) -> list[list[int]]:
        """The samples of the steps from `first` on. `states`: before each step; made if there are none."""
        found: list[list[int]] = [[] for _ in rows[first:]]
        made: list[dict] = []
        for rank in range(ranks):
            with opened(jpeg_folder, rank, ranks) as loader:
                feed = Feed(loader, rank=rank, seed=0)
                for number, batch in enumerate(rows[first:], first):
                    if number == first and first:  # as the trainer does: the stage that the checkpoint is of
                        feed.begin(SMALL, Layout(ranks, 1, rows[first - 1] // ranks))
                        feed.load_state_dict(states[first])
                    if number % 3 == 0 or number == first:
                        feed.begin(SMALL, Layout(ranks, 2, batch // ranks // 2))
                    if rank == 0:
                        made.append(feed.state_dict())
                    found[number - first] += labels(feed, number)
                feed.close()
        states[:] = states or made
        return [sorted(samples) for samples in found]

    states: list[dict] = []
    wanted = walk(1, 0, states)
    for ranks in (1, 2):
        for first in range(1, len(rows)):
            assert walk(ranks, first, states) == wanted[first:], (ranks, first)


def opened(photos: Path, rank: int, ranks: int) -> Loader:
    """Delivers indices in the place of labels."""
    return Loader(photos / "train", 1, num_workers=1, rank=rank, world_size=ranks, fields=("image", "index"))
