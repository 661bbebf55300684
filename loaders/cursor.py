"""Where a loader stands: which epoch comes next, and how far the present one has got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERSION = 2
"""Of the states."""


@dataclass(eq=False)
class Progress:
    """One iteration: batches delivered, not those decoded ahead."""

    epoch: int
    position: int
    """Samples of the epoch that all ranks together have been given."""
    steps_left: int
    """Batches that this rank still gets."""
    ended: bool = False
    """Whether the iterator was asked for more after its last batch."""


class Cursor:
    """The epoch of the next iteration, and the state that a checkpoint keeps.

    Each iteration starts the epoch after the latest one, unless `name` or `restore` has chosen one since.
    """

    def __init__(self, **identity: Any) -> None:
        """identity: what a state must agree in with the loader that takes it up: `samples`, `seed`, `shuffle`."""
        self._identity = {"version": VERSION, **identity}
        self._named: tuple[int, int] | None = (0, 0)
        self._latest: Progress | None = None

    def next(self) -> tuple[int, int]:
        """Epoch and position of the next iteration."""
        if self._named is not None:
            return self._named
        assert self._latest is not None
        return self._latest.epoch + 1, 0

    def begin(self, epoch: int, position: int, steps: int) -> Progress:
        """An iteration begins; it is the latest from now on."""
        self._named, self._latest = None, Progress(epoch, position, steps)
        return self._latest

    def name(self, epoch: int) -> None:
        """Chooses the epoch of the next iteration; a position restored within this same epoch is kept.

        Raises:
            ValueError: not from 0 to 2**32 - 1.
        """
        if not 0 <= epoch < 2**32:
            raise ValueError(f"`epoch` must be an integer from 0 to 2**32 - 1, got {epoch}.")
        if self._named is None or self._named[0] != epoch:
            self._named = epoch, 0

    @property
    def epoch(self) -> int:
        """The epoch under way; before and after one, that of the next iteration."""
        if self._named is not None:
            return self._named[0]
        assert self._latest is not None
        return self._latest.epoch + self._latest.ended

    def state_dict(self) -> dict[str, Any]:
        """Epoch and position to resume at; after an epoch's last batch, the start of the next epoch."""
        if self._named is not None:
            epoch, position = self._named
        else:
            assert self._latest is not None
            done = self._latest.steps_left <= 0
            epoch, position = (self._latest.epoch + 1, 0) if done else (self._latest.epoch, self._latest.position)
        return {**self._identity, "epoch": epoch, "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Chooses epoch and position of the next iteration.

        Raises:
            ValueError: the state belongs to other data, another seed or another order.
        """
        state = _upgraded(state)
        for key, mine in self._identity.items():
            if state.get(key) != mine:
                raise ValueError(
                    f"the state was taken with {key} = {state.get(key)!r}, this loader has {mine!r}; "
                    "make the loader with the same data, `seed` and `shuffle`."
                )
        self._named = state["epoch"], state["position"]


def _upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """A state of version 1, which named the order, as one of the present version."""
    if state.get("version") != 1:
        return state
    shuffle = {"random": True, "sequential": False, "quasi": "quasi"}.get(state.get("order", ""))
    return {**state, "version": VERSION, "shuffle": shuffle}
