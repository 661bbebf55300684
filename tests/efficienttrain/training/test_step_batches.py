from __future__ import annotations

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


@pytest.mark.parametrize("resumed", [False, True])
def test_the_next_stage_sees_the_same_samples_on_any_number_of_ranks(jpeg_folder: Path, resumed: bool) -> None:
    def steps(ranks: int, accumulation: int) -> list[list[int]]:
        """The samples of two steps of 10 and two of 4, of 24 in all: the first stage leaves 4 of the epoch."""
        found: list[list[int]] = [[], [], [], []]
        for rank in range(ranks):
            with Loader(
                jpeg_folder / "train", 1, num_workers=1, rank=rank, world_size=ranks, fields=("image", "index")
            ) as loader:
                feed = Feed(loader, rank=rank, seed=0)
                feed.begin(SMALL, Layout(ranks, accumulation, 10 // ranks // accumulation))
                for number in (0, 1):
                    found[number] += labels(feed, number)
                if resumed:
                    state = feed.state_dict()
                    feed.load_state_dict(state)
                feed.begin(LARGE, Layout(ranks, 1, 4 // ranks))
                for number in (2, 3):
                    found[number] += labels(feed, number)
                feed.close()
        return [sorted(samples) for samples in found]

    assert steps(1, 1) == steps(1, 5) == steps(2, 1) == steps(2, 5)
