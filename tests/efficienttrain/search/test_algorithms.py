from __future__ import annotations

import pytest

from efficienttrain.search import Choice, Plan, Probe, Space, drive, greedy, sequential
from efficienttrain.search.algorithms import compute_of
from tests.efficienttrain.search.toys import BEST, FULL, NEEDED, enough, near, sizes


def test_greedy_finds_the_cheapest_that_is_good_enough() -> None:
    asked: list[list[Probe]] = []

    def evaluate(probes: list[Probe]) -> list[float]:
        asked.append(probes)
        return [enough(sizes(probe)) for probe in probes]

    found = drive(greedy(Space(5, FULL, pace="passes")), evaluate)
    assert tuple(choice.resolution for choice in found) == NEEDED
    assert [choice.magnitude for choice in found] == pytest.approx([1, 3, 5, 7, 9])  # ICCV's, as released
    # baseline; 4 smaller ones fail in the last stage; 192 is the 4th; 160 the 3rd; then 2 fail and 160 is known, twice
    assert [probe.stage for probes in asked for probe in probes] == [None, *[4] * 4, *[3] * 4, *[2] * 3, 1, 1, 0, 0]
    assert all(len(probes) == 1 for probes in asked)
    assert sizes(asked[5][0]) == [96, 96, 96, 96, 224]  # the stages before are tied to the one that is decided
    everything = [probe.choices for probes in asked for probe in probes]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("width", [2, 5])
def test_greedy_side_by_side_finds_the_same(width: int) -> None:
    most = []

    def evaluate(probes: list[Probe]) -> list[float]:
        most.append(len(probes))
        return [enough(sizes(probe)) for probe in probes]

    found = drive(greedy(Space(5, FULL, pace="passes"), width=width), evaluate)
    assert tuple(choice.resolution for choice in found) == NEEDED
    assert max(most) == min(width, 4)


def test_greedy_may_give_up_some_of_the_score() -> None:
    space = Space(5, FULL, pace="passes")
    found = drive(greedy(space, tolerance=32 / 224), lambda probes: [enough(sizes(probe)) for probe in probes])
    assert [choice.resolution for choice in found] == [128, 128, 128, 160, 192]


def test_sequential_finds_the_best() -> None:
    asked: list[list[Probe]] = []

    def evaluate(probes: list[Probe]) -> list[float]:
        asked.append(probes)
        return [near(sizes(probe)) for probe in probes]

    found = drive(sequential(Space(5, FULL)), evaluate)
    assert tuple(choice.resolution for choice in found) == BEST
    assert [len(probes) for probes in asked] == [5, 5, 3, 3]  # after 224 there is nothing to choose
    done = {probe.key for probes in asked for probe in probes}
    for probe in (probe for probes in asked for probe in probes):
        assert probe.begins == probe.stage == len(probe.choices) - 1
        assert probe.parent is None if probe.begins == 0 else probe.parent in done


def test_of_equals_the_smallest_wins() -> None:
    found = drive(sequential(Space(3, FULL)), lambda probes: [0.0] * len(probes))
    assert [choice.resolution for choice in found] == [96, 96, 96]


def test_magnitudes_are_searched_too() -> None:
    best = [Choice(96, 3), Choice(160, 6), Choice(224, 6)]
    space = Space(3, (96, 160, 224), (3, 6, 9))

    def score(probe: Probe) -> float:
        pairs = zip(probe.choices, best, strict=False)
        return -sum(
            ((a.resolution - b.resolution) / 64) ** 2 + ((a.magnitude - b.magnitude) / 3) ** 2 for a, b in pairs
        )

    asked: list[int] = []

    def evaluate(probes: list[Probe]) -> list[float]:
        asked.append(len(probes))
        return [score(probe) for probe in probes]

    assert list(drive(sequential(space), evaluate)) == best
    assert asked == [9, 9, 4]  # neither falls


def test_greedy_takes_the_best_magnitude_of_the_smallest_resolution() -> None:
    space = Space(2, (96, 160, 224), (3, 9), pace="passes")

    def score(probe: Probe) -> float:
        fine = enough(sizes(probe), (96, 160))
        return fine + (0.1 if probe.choices[0].magnitude == 3 and fine == 1 else 0)

    found = drive(greedy(space), lambda probes: [score(probe) for probe in probes])
    assert found == (Choice(96, 3), Choice(160, 3))


def plan(algorithm: str, pace: str, tune: float) -> Plan:
    return Plan(algorithm, Space(5, FULL, pace=pace), "toys:rule", tune)


def test_sequential_costs_one_training_per_candidate_at_most() -> None:
    least, most = plan("sequential", "compute", 0.05).cost()
    assert (least.probes, most.probes) == (5, 25)
    assert least.compute == pytest.approx(5 * (1 / 5 + 0.05))  # 224 at once, and there is no choice left
    assert most.compute == pytest.approx(5 * 1 + 20 * 0.05)  # the last stage is not fine-tuned


def test_greedy_costs_a_training_per_probe() -> None:
    least, most = plan("greedy", "passes", 0.05).cost()
    assert least.probes == 2
    assert least.compute == pytest.approx(1 + (96 / 224) ** 2)
    assert most.probes == 1 + 5 * 4  # nothing passes; 224 is known
    tied = [(stage * (b / 224) ** 2 + (5 - stage)) / 5 for stage in range(1, 6) for b in FULL[:-1]]
    assert most.compute == pytest.approx(1 + sum(tied))


def test_a_probe_pays_for_what_it_trains() -> None:
    space, choices = Space(5, FULL), (Choice(96, 1), Choice(160, 3))
    assert compute_of(Probe(choices, 1, begins=1), space, 0.05) == pytest.approx(1 / 5 + 0.05)
    assert compute_of(Probe(choices, 1), space, 0.0) == pytest.approx(2 / 5)
