"""The replay buffer: decoded samples are used several times, so that a slow loader keeps up with a fast network.

EfficientTrain++ (TPAMI 2024, the released `engine_buffer.py`): the loader supplies 1/R of each batch. The rest is
drawn, in chunks and with replacement, from the last K batches, including the new one. A stored sample keeps its crop,
flip, RandAugment and erasing; mixing is drawn anew each time the sample is used. Samples are kept in half precision.

The released code keeps a list of chunks; this module allocates a ring once, and draws with one gather.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .control_groups import free_memory
from .plan.rng import Purpose, below, words
from .processors import local_ranks
from .transforms.device import put

CHUNKS = 32
"""Chunks that a loader batch is divided into, as released; at least this many if the batch does not divide evenly."""
LATE = 4
"""Batches whose copies to a ring in RAM may be in progress; the host waits for the oldest if there are more."""
GIB = 2**30


class Replay:
    """A ring of the last `batches` loader batches, each [n, 3, B, B], from which further samples are drawn."""

    def __init__(
        self, batches: int, batch_size: int, resolution: int, factor: int, device: str | torch.device = "cpu"
    ) -> None:
        """Allocates the ring, after checking that there is enough memory.

        Args:
            batches: loader batches held, at least 1.
            batch_size: samples in each, exactly.
            resolution: side B of the images, pixels.
            factor: R: how often a sample is used on average, including its first use; 2 or more.
            device: of the ring's memory. With batches on a GPU, "cpu" costs a copy over the bus in each direction; at
                most the newest `LATE` batches also stay on the GPU until their copies have ended.

        Raises:
            ValueError: a number out of range, or more memory required than available.
        """
        if batches < 1 or batch_size < 1 or factor < 2:
            raise ValueError(
                "`batches` and `batch_size` must be at least 1 and `factor` at least 2, "
                f"got {batches}, {batch_size} and {factor}."
            )
        self.device, self.factor = torch.device(device), factor
        check_memory(batches, batch_size, resolution, self.device)
        self._batch_size, self._batches = batch_size, batches
        self._chunk = max(d for d in range(1, max(1, batch_size // CHUNKS) + 1) if batch_size % d == 0)
        rows = batches * batch_size
        self._images = torch.empty((rows, 3, resolution, resolution), dtype=torch.float16, device=self.device)
        self._labels = torch.empty(0, dtype=torch.int64, device=self.device)  # allocated with the first batch
        self._coming: deque[_Coming] = deque()
        self.pushed = 0

    @property
    def held(self) -> int:
        """Loader batches in the ring."""
        return min(self.pushed, self._batches)

    def push(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Replaces the oldest batch by this one.

        Args:
            images: [batch_size, 3, B, B].
            labels: [batch_size, ...]: numbers or vectors of any type, the same in every batch.

        Raises:
            ValueError: the batch does not have the ring's shape, or not one label for each image.
        """
        if len(images) != self._batch_size:
            raise ValueError(f"`images` must be {self._batch_size}, as the ring was made for, got {len(images)}.")
        self._make_room(labels)
        wanted = len(images), *self._labels.shape[1:]
        if images.shape[1:] != self._images.shape[1:] or labels.shape != wanted:
            sides, more = (", ".join(map(str, ("n", *part.shape[1:]))) for part in (self._images, self._labels))
            raise ValueError(
                f"`images` must be [{sides}] and `labels` [{more}], as the ring was made for, "
                f"got {list(images.shape)} and {list(labels.shape)}."
            )
        slot = self.pushed % self._batches
        if images.device.type == "cuda" and self.device.type == "cpu":
            self._coming.append(_Coming(slot, images, labels))
            self._arrive(LATE)
        else:
            self._write(slot, images, labels)
        self.pushed += 1

    def draw(self, *, seed: int, step: int, group: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """(R - 1) * batch_size samples, float16, on the ring's device (in pinned memory if a GPU will copy them), or
        on the GPU if some of them are from batches whose copies to the ring have not ended.

        The choice depends on (seed, step, group) and the number of batches held; `group` numbers the batches of one
        step, over all ranks.

        Raises:
            ValueError: no batch was pushed yet.
        """
        if not self.held:
            raise ValueError("`draw` needs a batch in the ring, got none; `push` one first.")
        count = (self.factor - 1) * self._batch_size // self._chunk
        drawn = words(seed, step, np.array([group]), Purpose.REPLAY, count)[0]
        chunks = below(drawn, self.held * (self._batch_size // self._chunk))
        rows = (chunks[:, None] * self._chunk + np.arange(self._chunk)).reshape(-1)
        if self._coming:
            return self._draw_both(rows)
        return self._rows(rows)

    def _rows(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of the ring, on its device; in pinned memory if a GPU will copy them."""
        pin = self.device.type == "cpu" and torch.cuda.is_available()
        images = torch.empty(
            (len(rows), *self._images.shape[1:]), dtype=torch.float16, device=self.device, pin_memory=pin
        )
        labels = torch.empty(
            (len(rows), *self._labels.shape[1:]), dtype=self._labels.dtype, device=self.device, pin_memory=pin
        )
        which = put(rows, self.device)
        torch.index_select(self._images, 0, which, out=images)
        torch.index_select(self._labels, 0, which, out=labels)
        return images, labels

    def _draw_both(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of the ring and of the batches that are still on the GPU, joined on the GPU."""
        slots = {coming.slot: place for place, coming in enumerate(self._coming)}
        where = np.array([slots.get(slot, -1) for slot in range(self._batches)])[rows // self._batch_size]
        device = self._coming[0].images.device
        stored = self._rows(rows[where < 0])
        late = [torch.cat([getattr(coming, name) for coming in self._coming]) for name in ("images", "labels")]
        # Stored rows first, then the late batches: one gather puts both into the drawn order.
        order = np.where(where < 0, np.cumsum(where < 0) - 1, 0)
        order = np.where(where < 0, order, len(stored[1]) + where * self._batch_size + rows % self._batch_size)
        index = put(order, device)
        images, labels = (
            torch.cat((part.to(device, non_blocking=True), rest)).index_select(0, index)
            for part, rest in zip(stored, late, strict=True)
        )
        return images, labels

    def _arrive(self, late: int) -> None:
        """Writes to the ring the batches whose copies have ended; waits for the oldest if more than `late` remain."""
        while self._coming and (len(self._coming) > late or self._coming[0].copied.query()):
            coming = self._coming.popleft()
            coming.copied.synchronize()
            self._write(coming.slot, *coming.host)

    def _make_room(self, labels: torch.Tensor) -> None:
        """Allocates the ring's labels when the first batch shows their shape and type."""
        if not len(self._labels) and len(labels):
            rows = len(self._images)
            self._labels = torch.empty((rows, *labels.shape[1:]), dtype=labels.dtype, device=self.device)

    def _write(self, slot: int, images: torch.Tensor, labels: torch.Tensor) -> None:
        first = slot * self._batch_size
        self._images[first : first + len(images)] = images
        self._labels[first : first + len(labels)] = labels

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, *, seed: int, step: int, group: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores a fresh batch and returns it with the replayed samples after it: factor * batch_size samples.

        images: [n, 3, B, B], normalised, floating point; the result has its type and device.
        """
        self.push(images, labels)
        more, more_labels = self.draw(seed=seed, step=step, group=group)
        more = more.to(images.device, non_blocking=True).to(images.dtype)
        return torch.cat((images, more)), torch.cat((labels, more_labels.to(labels.device, non_blocking=True)))


class _Coming:
    """A batch that is being copied from a GPU to the ring, in half precision on both."""

    def __init__(self, slot: int, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Starts the copy, after the work that is queued on the current stream."""
        self.slot, self.images, self.labels = slot, images.half(), labels
        self.host = [
            torch.empty(each.shape, dtype=each.dtype, device="cpu", pin_memory=True).copy_(each, non_blocking=True)
            for each in (self.images, self.labels)
        ]
        self.copied = torch.cuda.Event(blocking=True)
        self.copied.record()


def ring_bytes(batches: int, batch_size: int, resolution: int) -> int:
    """Memory of a ring: half-precision images [3, B, B] and 64-bit labels."""
    return batches * batch_size * (3 * resolution**2 * 2 + 8)


def check_memory(batches: int, batch_size: int, resolution: int, device: torch.device) -> None:
    """Checks that a ring fits into the memory of `device`, together with the rings of the machine's other ranks.

    Raises:
        ValueError: it does not fit; the message gives the sizes, and a size that would fit.
    """
    ranks = 1 if device.type == "cuda" else local_ranks()
    need, free = ranks * ring_bytes(batches, batch_size, resolution), free_bytes(device)
    if need > 0.9 * free:
        fitting = int(0.9 * free / ranks / ring_bytes(1, batch_size, resolution))
        raise ValueError(
            f"a replay buffer of {batches} batches of {batch_size} at {resolution} px takes {need / GIB:.1f} GiB"
            f"{f' for the {ranks} ranks of this machine' if ranks > 1 else ''}, but {free / GIB:.1f} GiB are free on "
            f"{device.type}; {fitting} batches would fit."
        )


def free_bytes(device: torch.device) -> int:
    """Free memory of a device; of a CPU, within the limits of the system and the control groups."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    table = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(table["MemAvailable"].split()[0]) * 1024
    limit = free_memory()
    return free if limit is None else min(free, limit)
