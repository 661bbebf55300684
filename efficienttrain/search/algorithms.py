"""The two searches, as generators that are independent of training, and the cost of each.

A search yields a list of independent probes, receives their scores by `send` (larger is better), and finally returns
the curriculum that it found. `drive` implements this protocol. docs/search.md separates the papers' choices from ours.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, groupby

from efficienttrain.search.space import Choice, Probe, Space

Search = Generator[list[Probe], list[float], tuple[Choice, ...]]


def sequential(space: Space) -> Search:
    """The best score at a fixed compute, first stage to last (EfficientTrain++, TPAMI 2024).

    Every candidate of a stage continues from the checkpoint of the earlier stages; of equal scores the smallest
    candidate wins. A stage with only one remaining candidate is decided without a probe, and so are all later stages.
    """
    decided: tuple[Choice, ...] = ()
    for number in range(space.stages):
        choices = space.choices(number, least=decided[-1] if decided else None)
        if len(choices) == 1:
            decided += (choices[0],)
            continue
        probes = [Probe((*decided, choice), number, begins=number) for choice in choices]
        scores = yield probes
        decided = probes[scores.index(max(scores))].choices
    return decided


def greedy(space: Space, tolerance: float = 0.0, width: int = 1) -> Search:
    """The least cost at the baseline's score, last stage to first (EfficientTrain, ICCV 2023).

    Every probe is a whole training, in which all stages before the one to decide have the same candidate. The smallest
    resolution whose score is at least the baseline's minus `tolerance` wins, with the best of its magnitudes.

    Args:
        space: to search.
        tolerance: acceptable loss of the score.
        width: number of resolutions to probe at once. More than 1 keeps several workers busy, but some probes are
            unnecessary if a smaller resolution is good enough.
    """
    found = space.tied(space.stages - 1, space.choices(space.stages - 1)[-1])
    known: dict[tuple[Choice, ...], float] = {}
    yield from _ask([Probe(found, None)], known)
    target = known[found] - tolerance
    for number in reversed(range(space.stages)):
        after = found[number + 1 :]
        choices = space.choices(number, most=after[0] if after else None)
        probes = [Probe((*space.tied(number, choice), *after), number) for choice in choices]
        sizes = _by_resolution(probes, number)
        for begin in range(0, len(sizes), width):
            tried = sizes[begin : begin + width]
            yield from _ask([probe for alike in tried for probe in alike], known)
            best = [max((probe.choices for probe in alike), key=known.__getitem__) for alike in tried]
            passed = [choices for choices in best if known[choices] >= target]
            if passed:
                found = passed[0]
                break
    return found


def drive(search: Search, evaluate: Callable[[list[Probe]], Iterable[float]]) -> tuple[Choice, ...]:
    """Runs a search's probes until it ends; returns its result."""
    try:
        probes = next(search)
        while True:
            probes = search.send(list(evaluate(probes)))
    except StopIteration as end:
        return end.value


def _by_resolution(probes: list[Probe], number: int) -> list[list[Probe]]:
    """Groups adjacent probes with the same resolution in stage `number`."""
    return [list(alike) for _, alike in groupby(probes, key=lambda probe: probe.choices[number].resolution)]


def _ask(probes: list[Probe], known: dict[tuple[Choice, ...], float]) -> Generator[list[Probe], list[float], None]:
    """Adds the scores of these probes to those known, requesting the missing ones."""
    new = [probe for probe in probes if probe.choices not in known]
    if new:
        scores = yield new
        known.update(zip((probe.choices for probe in new), scores, strict=True))


def tune_of(probe: Probe, space: Space, tune: float) -> float:
    """The probe's share of fine-tuning: 0 after the last stage, if the learning rate has already decayed."""
    return tune if len(probe.choices) < space.stages else 0.0


def compute_of(probe: Probe, space: Space, tune: float) -> float:
    """Cost of a probe: the stages that it trains and its fine-tune, as a share of a whole training."""
    trained = sum(space.stage(choice).compute for choice in probe.choices[probe.begins :])
    return trained + tune_of(probe, space, tune)


@dataclass(frozen=True)
class Cost:
    """The cost of a search."""

    probes: int
    compute: float
    """In whole trainings at full size; evaluation is not counted."""


def bounds(search: Callable[[], Search], space: Space, tune: float) -> tuple[Cost, Cost]:
    """Lower and upper bound of the cost of a search, computed by running it without training.

    The cost is lowest if every probe has a better score than all earlier ones: in the greedy search the first candidate
    is then good enough, and in the sequential search the largest is the best and leaves no choice. The cost is highest
    if no probe has a better score than an earlier one.
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
