"""The two searches, as generators that know nothing of training.

A search yields a list of probes, none of which depends on another's score, is sent their scores (larger is better), and
returns the curriculum that it found. `drive` is the whole protocol. What of this is the papers' and what is our reading
stands in docs/search.md.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from itertools import groupby

from efficienttrain.search.space import Choice, Probe, Space

Search = Generator[list[Probe], list[float], tuple[Choice, ...]]


def sequential(space: Space) -> Search:
    """The best score at a fixed compute, first stage to last (EfficientTrain++, TPAMI 2024).

    Every candidate of a stage continues from the checkpoint of the earlier stages; ties go to the smallest. A
    stage with one candidate left is decided without a probe, as are then all after it.
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

    Every probe is a whole training in which the stages before the one that is decided are tied to it. The smallest
    resolution wins whose score is at least the baseline's less `tolerance`; of its magnitudes, the best.

    Args:
        space: to search.
        tolerance: how much of the score may be given up.
        width: resolutions to ask about at once. More than 1 keeps several workers busy, with probes that turn out to
            have been superfluous if a smaller one is good enough.
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
    """Neighbours of one resolution in stage `number` together."""
    return [list(alike) for _, alike in groupby(probes, key=lambda probe: probe.choices[number].resolution)]


def _ask(probes: list[Probe], known: dict[tuple[Choice, ...], float]) -> Generator[list[Probe], list[float], None]:
    """Adds the scores of these probes to those known, requesting the missing ones."""
    new = [probe for probe in probes if probe.choices not in known]
    if new:
        scores = yield new
        known.update(zip((probe.choices for probe in new), scores, strict=True))
