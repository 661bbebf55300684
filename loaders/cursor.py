"""Where a loader stands: which epoch comes next, and how far the present one has got."""

from __future__ import annotations

from dataclasses import dataclass


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

    def __init__(self) -> None:
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
        """Chooses the epoch of the next iteration; a position restored within this same epoch is kept."""
        if self._named is None or self._named[0] != epoch:
            self._named = epoch, 0

    def restore(self, epoch: int, position: int) -> None:
        """Chooses epoch and position of the next iteration."""
        self._named = epoch, position

    @property
    def epoch(self) -> int:
        """The epoch under way; before and after one, that of the next iteration."""
        if self._named is not None:
            return self._named[0]
        assert self._latest is not None
        return self._latest.epoch + self._latest.ended

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and position to resume at; after an epoch's last batch, the start of the next epoch."""
        if self._named is not None:
            return self._named
        assert self._latest is not None
        if self._latest.steps_left <= 0:
            return self._latest.epoch + 1, 0
        return self._latest.epoch, self._latest.position
