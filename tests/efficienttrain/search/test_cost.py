from __future__ import annotations

import pytest

from efficienttrain.search import Choice, Plan, Probe, Space
from efficienttrain.search.cost import compute_of
from tests.efficienttrain.search.toys import FULL


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
