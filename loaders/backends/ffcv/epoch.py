"""Drives the real FFCV loader through one epoch of planned batches."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from ...batch import BatchPlan
from ...beton import layout
from ...beton.tables import Head
from ...errors import BadDataset, LoaderError
from ...native import KernelBatch, KernelOptions, numba_calls
from ...plan.rng import sample_indices
from .imports import (
    EpochIterator,
    IntDecoder,
    Loader,
    MemoryContext,
    SimpleRGBImageDecoder,
    State,
    TraversalOrder,
    threads_kept,
)

Numbering = Callable[[NDArray[np.int64]], NDArray[np.int64]]
_POLL = 0.1  # seconds between two checks whether FFCV's thread is alive


class PlannedOrder(TraversalOrder):
    """The plan's order: this rank's share, from the resume position."""

    def __init__(self, loader: Loader, order: NDArray[np.int64]) -> None:
        super().__init__(loader)
        self._order = order

    def sample_order(self, _epoch: int) -> NDArray[np.int64]:
        return self._order


class PlannedDecoder(SimpleRGBImageDecoder):
    """Makes the kernel execute the batch's plan, which `Epoch` passes as the storage's state. Returns the indices."""

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, None]:
        # No memory of FFCV: FFCV would reuse it while the caller still holds the batch.
        return replace(previous_state, jit_mode=True, shape=(), dtype=np.dtype(np.int64)), None

    def generate_code(self) -> Callable[..., Any]:
        def decode(batch_indices, _memory, _metadata, storage_state):  # type: ignore[no-untyped-def]
            numba_calls.decode(storage_state[0])
            return batch_indices

        return decode


class FFCVPendingBatch(KernelBatch):
    """A `KernelBatch` that is done when FFCV delivers it."""

    def __init__(
        self, epoch: Epoch, batch: BatchPlan, numbered: Numbering, options: KernelOptions, out: NDArray[np.uint8]
    ) -> None:
        """numbered: see `BetonFile.numbered`. options, out: those of `KernelBatch`."""
        super().__init__(batch.samples, options, out)
        self._numbered = numbered
        self._epoch, self._planned = epoch, batch  # `_batch` is the kernel's

    def wait(self) -> None:
        """Waits for FFCV, which delivers batches in the order of the calls of `Epoch.submit`.

        Raises:
            BadDataset: FFCV's labels differ from those of the plan, which come from a pyramid's checked index.
        """
        labels, planned = self._epoch.next_labels(), self._planned.labels
        if labels is None:
            return
        found = self._numbered(labels)
        if (wrong := np.flatnonzero(found != planned)).size:
            index, first = int(sample_indices(self._planned.keys[wrong[0]])), int(wrong[0])
            raise BadDataset(
                f"{self._epoch.path}: damaged, FFCV's tables give sample {index} the label {found[first]}, "
                f"its index {planned[first]}; copy or convert it again"
            )

    def close(self) -> None:
        """Does nothing, because pending batches are cancelled together at the end of the epoch."""


class Epoch(MemoryContext):
    """An iteration of an FFCV loader in progress.

    FFCV uses it as its memory manager, which supplies the memory of each batch. FFCV's thread calls it at the beginning
    of each batch, and it passes the batch's work record to the compiled decoder.
    """

    def __init__(self, loader: Loader, batches: Sequence[NDArray[np.int64]]) -> None:
        """Starts FFCV's thread, which waits for the first batch.

        Args:
            loader: made by `make_loader`; may have other epochs in progress.
            batches: draw keys, no batch larger than the first.
        """
        self._sums, self._state = numba_calls.Sums(loader.num_workers), np.zeros(len(numba_calls.FIELDS), np.int64)
        self._pending: SimpleQueue[FFCVPendingBatch | None] = SimpleQueue()
        self._current: FFCVPendingBatch | None = None
        self.closed = False
        self.path: str = loader.fname
        # A batch's results are in the order of the file's fields; without a label, the image is the only result.
        decoders = [spec.decoder for spec in loader.pipeline_specs.values()]
        self._label = next((k for k, decoder in enumerate(decoders) if isinstance(decoder, IntDecoder)), None)
        loader.batch_size = len(batches[0])
        self._indices = [sample_indices(batch) for batch in batches]
        loader.traversal_order = PlannedOrder(loader, np.concatenate(self._indices))
        loader.first_traversal_order = loader.next_traversal_order()  # FFCV takes the epoch's length from it
        loader.memory_manager = self
        self._torch_threads = torch.get_num_threads()
        with threads_kept():
            self._iterator: EpochIterator = iter(loader)
        _running.add(self)

    def submit(
        self, batch: BatchPlan, numbered: Numbering, options: KernelOptions, out: NDArray[np.uint8]
    ) -> FFCVPendingBatch:
        """Gives FFCV's thread the next batch; see `FFCVPendingBatch`."""
        pending = FFCVPendingBatch(self, batch, numbered, options, out)
        self._pending.put(pending)
        return pending

    def next_labels(self) -> NDArray[np.int64] | None:
        """Waits for the oldest pending batch and returns its labels [n], valid until the next call. None: no labels.

        Raises:
            LoaderError: FFCV's thread has ended too early; FFCV itself would then wait for ever.
        """
        queue = self._iterator.output_queue
        with queue.not_empty:
            while not queue.queue and self._iterator.is_alive():
                queue.not_empty.wait(_POLL)
            missing = not queue.queue
        if missing and not self.closed:
            raise LoaderError("FFCV's thread has failed with the error that is printed above; make a new Loader")
        result = None if self.closed else next(self._iterator, None)
        if result is None:
            raise LoaderError("the loader was closed while a batch was being decoded; make a new Loader")
        return None if self._label is None else result[self._label][:, 0]

    def total(self) -> dict[str, int]:
        """Sums so far, as `native.Pool.stats`."""
        return self._sums.total()

    def close(self) -> None:
        """Cancels pending batches; returns when FFCV's thread has ended. Can be called more than once."""
        if self.closed:
            return
        self.closed = True
        self._state[numba_calls.NEXT] = numba_calls.ALL_TAKEN
        self._pending.put(None)
        while self._iterator.is_alive():
            with suppress(Empty):
                self._iterator.output_queue.get_nowait()  # the thread may be waiting for space in the queue
            self._iterator.join(0.01)
        self._iterator.close()
        _running.discard(self)

    def schedule_epoch(self, batches: list[NDArray[np.int64]]) -> Epoch:
        """Called by FFCV at the start of an epoch; this object manages the epoch's memory itself.

        batches: the list that FFCV works through, its own division into batches of one size.
        """
        batches[:] = self._indices  # the last two batches may both be smaller, see `plan.Shares`
        return self

    @property
    def state(self) -> tuple[NDArray[np.int64]]:
        """The storage's state that FFCV passes to the decoder."""
        return (self._state,)

    def __enter__(self) -> Epoch:
        return self

    def start_batch(self, batch: int) -> None:
        """Called in FFCV's thread before each batch."""
        if batch == 0:
            torch.set_num_threads(self._torch_threads)  # which FFCV has just changed for the whole process
        self._current = self._pending.get()
        if self._current is None or self.closed:
            raise StopIteration  # ends FFCV's thread normally
        numba_calls.set_work(self._state, self._current.address, len(self._current.status), self._sums)

    def __exit__(self, *_: object) -> None:
        pass


_running: weakref.WeakSet[Epoch] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # FFCV's thread would otherwise still decode while the interpreter frees the memory under it.
    for epoch in list(_running):
        epoch.close()


def make_loader(head: Head, label: str | None, *, threads: int, ahead: int) -> Loader:
    """A real FFCV loader of a beton's first image and its label, to be run by `Epoch`.

    Args:
        label: the int field with the labels; None: no labels.
        threads: number of threads that decode a batch; numba limits it to the number of processors.
        ahead: finished batches that FFCV keeps.

    Raises:
        BadDataset: FFCV cannot read the fields; a pyramid's own checks do not cover them.
    """
    field = head.field(layout.IMAGE_FIELD)
    image = "" if field is None else head.names[field]
    labelled = label is None or (label, layout.INT_FIELD) in zip(head.names, head.types, strict=True)
    if not image or not labelled:
        raise BadDataset(
            f"{head.path}: FFCV needs an image and an int field with names, it has {', '.join(map(ascii, head.names))} "
            f"of types {head.types}; copy or convert it again"
        )
    pipelines: dict[str, list[Any] | None] = dict.fromkeys(head.names)  # None: FFCV leaves the field out
    pipelines[image] = [PlannedDecoder()]
    if label is not None:
        pipelines[label] = [IntDecoder()]
    try:
        with threads_kept():
            return Loader(
                head.path,
                batch_size=1,
                num_workers=min(threads, numba.config.NUMBA_NUM_THREADS),
                batches_ahead=ahead,
                drop_last=False,
                pipelines=pipelines,
            )
    except UnicodeDecodeError as error:
        raise BadDataset(
            f"{head.path}: damaged, FFCV cannot read the names of its fields ({error}); copy or convert it again"
        ) from None
