"""A loader's position: the next epoch, and the progress of the present one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .plan.order import LARGE
from .values import in_range, unbox

VERSION = 4
"""Version of the saved states."""
ORDER = frozenset({"aug_repeats", "indices", "weights"})
"""Keys that a state has if they are not the default (from version 4 on); they matter only within an epoch."""
EPOCHS = 2**32
Place = tuple[int, int]
"""An epoch, and the number of its samples that were delivered to all ranks together."""


@dataclass(eq=False)
class Progress:
    """Progress of one iteration. It counts delivered batches; batches decoded ahead do not count."""

    epoch: int
    position: int
    """Samples of the epoch that were delivered to all ranks together."""
    steps_left: int
    """Batches that at least one rank still gets."""
    ended: bool = False
    """Whether the iterator was advanced past its last batch."""


class Cursor:
    """The epoch of the next iteration, and the state that a checkpoint keeps.

    Each iteration runs the epoch after the latest one, unless `set_epoch` or `load_state_dict` has chosen another
    since. An iterator takes its epoch with its first batch, because some frameworks make iterators that they never use.
    """

    def __init__(self, samples: int, seed: int, shuffle: bool | str, **order: Any) -> None:
        """
        All arguments must be equal in a state and in the loader that restores it.

        Args:
            samples: of an epoch.
            seed, shuffle: see `Loader`.
            order: further inputs of the order, see `Sampling.identity`.
        """
        self._identity = {"version": VERSION, "samples": samples, "seed": seed, "shuffle": shuffle, **order}
        self._chosen: Place | None = (0, 0)
        self._claimed: Place | None = None  # by an iterator that has not begun
        self._latest: Progress | None = None

    @property
    def place(self) -> Place:
        """Epoch and position of the next iteration that begins."""
        place = self._chosen or self._claimed
        if place is not None:
            return place
        assert self._latest is not None
        return self._latest.epoch + 1, 0

    @property
    def position(self) -> int:
        """Position at which the next iterator begins."""
        return self._chosen[1] if self._chosen else 0

    @property
    def epoch(self) -> int:
        """The epoch in progress; outside of an iteration, the epoch of the next one."""
        if self._chosen or self._claimed or self._latest is None:
            return self.place[0]
        return self._latest.epoch + self._latest.ended

    def claim(self) -> None:
        """Registers a new iterator."""
        self._claimed, self._chosen = self.place, None

    def begin(self, steps: Callable[[int], int]) -> Progress:
        """Begins an iteration. steps: a function of the initial position, see `Progress.steps_left`."""
        epoch, position = self.place
        self._chosen = self._claimed = None
        self._latest = Progress(epoch, position, steps(position))
        return self._latest

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch of the next iteration; a position restored within this same epoch is kept.

        Raises:
            ValueError: not a whole number from 0 to 2**32 - 1.
        """
        in_range("epoch", epoch, 0, EPOCHS - 1)
        epoch = int(epoch)
        place = self._chosen or self._claimed
        if place is None or place[0] != epoch:
            self._chosen = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Epoch and position to resume at; after an epoch's last batch on all ranks, the start of the next epoch."""
        latest = self._latest
        if self._chosen or self._claimed or latest is None or latest.ended or latest.steps_left <= 0:
            epoch, position = self.place
        else:
            epoch, position = latest.epoch, latest.position
        return {**self._identity, "epoch": epoch, "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Chooses epoch and position of the next iteration.

        Raises:
            ValueError: the state belongs to other data, another seed or another order; or names no place of an epoch.
            TypeError: it is no state.
        """
        if not isinstance(state, Mapping) or "version" not in state:
            got = f"one of {', '.join(map(repr, state)) or 'nothing'}" if isinstance(state, Mapping) else repr(state)
            raise TypeError(f"`state` must be the dictionary that `state_dict` returned, got {got}.")
        state = self._upgraded(state)
        for key in {*self._identity, *ORDER} if state.get("position") else self._identity.keys() - ORDER:
            theirs, mine = state.get(key), self._identity.get(key)
            if theirs != mine:
                raise ValueError(
                    f"the state was taken with {key} = {theirs!r}, this loader has {mine!r}; "
                    "make the loader with the same data, `seed`, `shuffle`, `indices`, `weights` and `aug_repeats`."
                )
        epoch, position = unbox(state.get("epoch")), unbox(state.get("position"))
        in_range("state['epoch']", epoch, 0, EPOCHS - 1)
        in_range("state['position']", position, 0, self._identity["samples"])
        self._chosen, self._claimed = (epoch, position), None

    def _upgraded(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state of an earlier version as one of the present version.

        Raises:
            ValueError: it was taken within an epoch whose order is another one now.
        """
        if state.get("version") not in (1, 2, 3):
            return state
        if state["version"] == 1:  # it stored the name of the order
            names = {"random": True, "sequential": False, "quasi": "quasi"}
            state = {**state, "shuffle": names.get(state.get("order", ""))}
        shuffle = state.get("shuffle")
        changed = shuffle == "quasi" or (shuffle is True and state.get("samples", 0) > LARGE)
        if changed and state["version"] < 3 and state.get("position"):
            raise ValueError(
                f"the state was taken within an epoch ({state['position']} samples) by a version that shuffled it in "
                "another order; set its `position` to 0 to begin that epoch anew."
            )
        order = {key: value for key, value in self._identity.items() if key not in state}
        return {**state, **order, "version": VERSION}
