"""Windows over streams: what is counted, what is thrown away first, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.harness.contestant import LEAST_BATCHES, Job, Stream


def job(**changes: int) -> Job:
    return Job(
        **{"name": "x", "resolution": 16, "threads": 3, "batch_size": 4, "folder": "", "pyramid": "", "work": ""}
        | changes
    )


def batches(taken: list[int], shape: tuple[int, ...] = (4, 16, 16, 3), pause: float = 0.0) -> Iterator[np.ndarray]:
    while True:
        time.sleep(pause)
        taken.append(1)
        yield np.zeros(shape, np.uint8)


def test_a_window_starts_with_empty_queues_and_ends_after_whole_bursts() -> None:
    taken: list[int] = []
    stream = Stream(batches(taken), job(), ahead=5)
    assert stream.output == "uint8 4x16x16x3"
    images, seconds = stream.round(0.0)
    counted = 9  # the first multiple of 3 threads from LEAST_BATCHES on
    assert counted >= LEAST_BATCHES > counted - 3
    assert images == 4 * counted
    assert seconds > 0
    assert len(taken) == 1 + 5 + counted
    assert stream.delivered == 4 * len(taken)


def test_a_window_lasts_long_enough() -> None:
    images, seconds = Stream(batches([], pause=0.002), job(threads=1), ahead=0).round(0.05)
    assert seconds >= 0.05
    assert 4 * LEAST_BATCHES < images <= 4 * 25


def test_a_cold_window_ends_before_images_come_again() -> None:
    images, _ = Stream(batches([]), job(cold_images=20), ahead=0).round(60.0)
    assert images == 24  # after a whole burst of 3 batches


@pytest.mark.parametrize("shape", [(4, 3, 16, 16), (4, 16, 16, 3)])
def test_channels_may_come_first_or_last(shape: tuple[int, ...]) -> None:
    Stream(batches([], shape), job(), ahead=0)


@pytest.mark.parametrize("shape", [(3, 16, 16, 3), (4, 16, 24, 3), (4, 3, 224, 224)])
def test_other_sizes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match="x delivers"):
        Stream(batches([], shape), job(), ahead=0)
