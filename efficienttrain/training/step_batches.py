"""The loader as an endless sequence of optimizer steps, for any stage, layout and world size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch

from efficienttrain._loaders import Loader, Replay
from efficienttrain.curriculum import Stage
from efficienttrain.training.batch_layout import Layout

Batch = tuple[torch.Tensor, torch.Tensor]
Cursor = tuple[int, int]  # epoch, and the number of its samples that were delivered to all ranks together


class Feed:
    """Delivers the micro-batches of the steps in order.

    Note [whole steps]: an epoch is a permutation of the data set, and a step takes its next `fresh_step` samples,
    independently of their division among ranks and micro-batches. If too few are left for another step, the next epoch
    begins, even if the next stage has smaller steps. So steps get the same samples for every world size and
    accumulation, a new layout or stage continues in the middle of an epoch, and the position is two numbers. They are
    counted here, because the loader's own position counts its batches, whose size depends on the layout.
    """

    def __init__(
        self, loader: Loader, rank: int, seed: int, targets: Callable[[Any], torch.Tensor] = torch.as_tensor
    ) -> None:
        """targets: function that converts the loader's values of the target field to a tensor."""
        self._loader, self._rank, self._seed, self._targets = loader, rank, seed, targets
        state = loader.state_dict()
        self.samples: int = state["samples"]
        self.cursor: Cursor = (state["epoch"], state["position"])
        """Position of the next loader batch."""
        self._batches: Iterator[tuple[torch.Tensor, Any]] | None = None
        self._replay: Replay | None = None
        self._held: deque[Cursor] = deque()

    def begin(self, stage: Stage, layout: Layout, buffer: int = 0, device: str | torch.device = "cpu") -> None:
        """Sets the stage and layout of the following steps. A replay buffer of `buffer` batches begins empty.

        Raises:
            ValueError: the replay buffer is larger than the free memory.
        """
        self._pause()
        self._layout = layout
        self._loader.set_stage(resolution=stage.resolution, magnitude=stage.magnitude, batch_size=layout.fresh)
        self._replay, self._held = None, deque(maxlen=max(1, buffer))
        if layout.factor > 1:
            self._replay = Replay(buffer, layout.fresh, stage.resolution, layout.factor, device)

    def step(self, number: int) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """The micro-batches of step `number`: their number within the step over all ranks, images, targets."""
        self._leave_out_rest()  # after smaller steps
        last = self._layout.accumulation - 1
        for turn in range(last + 1):
            group = turn * self._layout.ranks + self._rank
            self._held.append(self.cursor)
            images, labels = self._next()
            if turn == last:  # now, so that the position between two steps is always the same
                self._leave_out_rest()
            if self._replay is not None:
                images, labels = self._replay(images, labels, seed=self._seed, step=number, group=group)
            yield group, images, labels

    def rewind(self, cursor: Cursor) -> None:
        """Returns to the start of a step, to repeat it."""
        self._jump(cursor)

    def state_dict(self) -> dict[str, Any]:
        """The feed's position, and the positions (not the pixels) of the loader batches in its replay buffer."""
        epoch, position = self.cursor
        loader = {**self._loader.state_dict(), "epoch": epoch, "position": position}
        state = {"loader": loader, "shape": (self._layout.ranks, self._layout.fresh), "pushed": 0}
        if self._replay is None:
            return {**state, "held": []}
        return {**state, "held": list(self._held), "pushed": self._replay.pushed}

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Restores `state_dict` exactly; the replay buffer's batches are loaded again.

        Returns:
            False if world size or micro-batch have changed; the replay buffer then begins empty.
        """
        self._pause()
        self._loader.load_state_dict(state["loader"])
        self.cursor = state["loader"]["epoch"], state["loader"]["position"]
        if self._replay is None or not state["held"]:
            return True
        if tuple(state["shape"]) != (self._layout.ranks, self._layout.fresh):
            return False
        self._replay.pushed = state["pushed"] - len(state["held"])
        here = self.cursor
        for cursor in state["held"]:
            if self.cursor != tuple(cursor):
                self._jump(cursor)
            self._held.append(self.cursor)
            self._replay.push(*self._next())
        if self.cursor != here:
            self._jump(here)
        return True

    def close(self) -> None:
        """Stops loading ahead."""
        self._batches = None  # a deleted iterator cancels the batches in progress

    def _next(self) -> Batch:
        batch = next(self._batches, None) if self._batches is not None else None
        if batch is None:  # the first batch, or the first one of the next epoch
            self._batches = iter(self._loader)
            batch = next(self._batches)
        epoch, position = self.cursor
        self.cursor = epoch, position + self._layout.fresh * self._layout.ranks
        images, values = batch
        return images, self._targets(values).to(images.device, non_blocking=True)

    def _jump(self, cursor: Cursor) -> None:
        state = {**self._loader.state_dict(), "epoch": cursor[0], "position": cursor[1]}
        self.close()
        self._loader.load_state_dict(state)
        self.cursor = cursor

    def _leave_out_rest(self) -> None:
        """Goes to the next epoch if too few samples are left for another step."""
        epoch, position = self.cursor
        if self.samples - position < self._layout.fresh_step:
            self._jump((epoch + 1, 0))

    def _pause(self) -> None:
        """Drops batches loaded ahead; the next loader batch follows the last delivered one."""
        self._jump(self.cursor)
