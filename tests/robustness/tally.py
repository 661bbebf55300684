"""What became of a fault, and the tally of many tries."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SURVIVED, NAMED, LOST = "survived", "named", "lost"
OURS = {"torch": "ours", "ffcv": "ours on FFCV", "dali": "ours on DALI"}
"""Contestants of this package, by backend."""
KEPT = 20  # reproducers kept for each line of the table


@dataclass
class Tally:
    """One line of the table.

    survived: the run went on, and whatever was delivered is right. named: it ended, or a sample was reported, with an
    error that says which file or sample and why. lost: anything else: wrong pixels, a crash, a hang, an error that
    names nothing, bytes left over.
    """

    fault: str
    contestant: str = "ours"
    survived: int = 0
    named: int = 0
    lost: int = 0
    facts: dict[str, Any] = field(default_factory=dict)  # what else was measured
    reproducers: list[str] = field(default_factory=list)

    @property
    def tries(self) -> int:
        return self.survived + self.named + self.lost

    def add(self, outcome: str, how: str = "") -> None:
        """Counts one try; `how` says what a lost one did and how to have it again."""
        setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome == LOST and len(self.reproducers) < KEPT:
            self.reproducers.append(how)

    def merge(self, other: dict[str, Any]) -> None:
        """Adds what a child process counted."""
        for outcome in (SURVIVED, NAMED, LOST):
            setattr(self, outcome, getattr(self, outcome) + other[outcome])
        self.facts |= other.get("facts", {})
        self.reproducers = (self.reproducers + other["reproducers"])[:KEPT]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tries": self.tries}
