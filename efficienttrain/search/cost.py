"""The cost of a search, before it begins: probes, and compute in whole trainings at full size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from efficienttrain.search.algorithms import Search, drive
from efficienttrain.search.space import Probe, Space


def tune_of(probe: Probe, space: Space, tune: float) -> float:
    """The probe's share of fine-tuning: none after the last stage, if the learning rate is spent."""
    return tune if len(probe.choices) < space.stages else 0.0


def compute_of(probe: Probe, space: Space, tune: float) -> float:
    """Cost of a probe: the stages that it trains and its fine-tune, as a share of a whole training."""
    trained = sum(space.stage(choice).compute for choice in probe.choices[probe.begins :])
    return trained + tune_of(probe, space, tune)


@dataclass(frozen=True)
class Cost:
    """Of a search."""

    probes: int
    compute: float
    """In whole trainings at full size; evaluation is not counted."""


def bounds(search: Callable[[], Search], space: Space, tune: float) -> tuple[Cost, Cost]:
    """The least and the most that a search may cost, found by going through it without training.

    It is cheapest if every probe beats all before it: greedily, the first candidate is good enough; sequentially,
    the largest is the best and leaves no choice. It is dearest if none does.
    """
    rising, falling = count(), count(0, -1)
    return _trace(search(), space, tune, rising), _trace(search(), space, tune, falling)


def _trace(search: Search, space: Space, tune: float, scores: Iterator[int]) -> Cost:
    asked: list[Probe] = []

    def answer(probes: list[Probe]) -> list[float]:
        asked.extend(probes)
        return [next(scores) for _ in probes]

    drive(search, answer)
    return Cost(len(asked), sum(compute_of(probe, space, tune) for probe in asked))
