"""The live table of a search: a line for every finished probe, and below them the compute spent."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from efficienttrain.search.cost import Cost
from efficienttrain.search.probe_log import Line

HEAD = f"{'probe':>5}{'stage':>7}{'compute':>9}{'seconds':>9}{'score':>10}   curriculum (B, M)"
FORMAT = "{desc} {elapsed}"


class Table:
    """Prints as probes end."""

    def __init__(self, most: Cost, show: bool = True) -> None:
        """most: upper bound of the search's cost; show: a line that says how far it is, on a terminal."""
        self._most, self._number, self._spent = most, 0, 0.0
        self._bar: Any = tqdm(bar_format=FORMAT, disable=None if show else True)
        self._bar.write(HEAD)

    def add(self, probe: Line) -> None:
        """A probe has ended."""
        self._number += 1
        self._spent += probe["compute"]
        stage = "-" if probe["stage"] is None else probe["stage"] + 1
        stages = "  ".join(f"{resolution} {magnitude:.3g}" for resolution, magnitude in probe["choices"])
        self._bar.write(
            f"{self._number:5}{stage:>7}{probe['compute']:9.3f}{probe['seconds']:9.1f}{probe['score']:10.4f}   {stages}"
        )
        self._bar.set_description_str(
            f"{self._number} of at most {self._most.probes} probes, compute {self._spent:.3g} of at most "
            f"{self._most.compute:.3g} whole trainings,"
        )

    def close(self) -> None:
        """Leaves the table as it is."""
        self._bar.close()
