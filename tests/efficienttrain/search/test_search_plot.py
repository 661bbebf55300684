from __future__ import annotations

from pathlib import Path

import pytest

from efficienttrain.search import Plan, Space, run_search
from efficienttrain.search.probe_log import read
from efficienttrain.search.search_plot import draw
from tests.efficienttrain.search.test_runner import RULE, Closed
from tests.efficienttrain.search.toys import FULL


@pytest.mark.parametrize(
    ("algorithm", "magnitudes", "kept"), [("greedy", (), None), ("sequential", (3.0, 9.0), None), ("greedy", (), 3)]
)
def test_the_log_is_enough_to_draw(
    tmp_path: Path, algorithm: str, magnitudes: tuple[float, ...], kept: int | None
) -> None:
    """A whole search, and one that was killed after two probes."""
    space = Space(5, FULL, magnitudes, pace="passes" if algorithm == "greedy" else "compute")
    run_search(Plan(algorithm, space, RULE, tune=0.05), tmp_path, Closed())
    draw(tmp_path / "tree.png", read(tmp_path)[:kept])
    assert (tmp_path / "tree.png").read_bytes().startswith(b"\x89PNG")
