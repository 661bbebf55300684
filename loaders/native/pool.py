"""The kernel's thread pool, which decodes batches without the GIL.

A pending batch owns the memory that the threads write to, so this memory is not freed too early. A pool that is closed,
garbage-collected or inherited by a fork never blocks and never touches freed memory.
"""

from __future__ import annotations

import ctypes
import operator
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LoaderError
from ..plan.records import SAMPLE
from .augmentation import Augment
from .kernel import library
from .structs import STATS, EtAugment, EtBatch, EtFilter

if TYPE_CHECKING:
    from ..plan.filters import Filter

OK, DAMAGED, UNSUPPORTED, IO_ERROR, BAD_ARGUMENT, EXHAUSTED = range(6)
"""Result of a sample: `EtStatus` of kernel.h."""

_MESSAGE = 96
_POLL = 100  # ms between two checks for Ctrl-C while waiting


@lru_cache(maxsize=64)
def filter_struct(table: Filter, base: int | None = None) -> EtFilter:
    """The filter as the kernel reads it. base: replaces the filter's own; 0: the output's side."""
    struct = EtFilter(
        table.table.ctypes.data,
        table.radius.ctypes.data,
        table.rows,
        table.table.shape[1],
        table.steps,
        table.base if base is None else base,
        table.stretch_step,
    )
    struct.arrays = table  # if several threads fill the cache at once, it keeps only one table
    return struct


class Outcome:
    """The result of each sample of a batch.

    Attributes:
        status: int32 [n], an `EtStatus` each, valid once the sample is done.
    """

    def __init__(self, n: int) -> None:
        self.status, self._messages = np.zeros(n, np.int32), np.zeros((n, _MESSAGE), np.uint8)

    def message(self, i: int) -> str:
        """The reason why sample `i` of the batch failed."""
        return _text(self._messages[i])


@dataclass(frozen=True, slots=True, eq=False)
class KernelOptions:
    """What the kernel makes of the samples of a batch."""

    side: int
    """B; each sample becomes 3 x B x B, or the size of `augment`'s low-pass."""
    filter: Filter
    """See loaders/plan/filters.py."""
    fd: int = -1
    """The data set's file, for samples without a path of their own."""
    lut: NDArray[Any] | None = None
    """[3, 256] of 2 or 4 bytes an element: the output of each 8-bit value, per channel."""
    augment: Augment | None = None
    """Operations on the pixels before and after the look-up; None: none."""
    channels_last: bool = False
    """Each sample becomes B x B x 3."""


class KernelBatch(Outcome):
    """A batch in the kernel's form, with all memory that the kernel reads and writes for it.

    Attributes:
        out: the output array.
        address: of the `EtBatch`.
    """

    def __init__(self, samples: NDArray[np.void], options: KernelOptions, out: NDArray[Any]) -> None:
        """
        Args:
            samples: SAMPLE [n].
            out: C-contiguous, n * 3 * B * B elements of 1 byte, or of the size of `options.lut`'s, or float32.

        Raises:
            ValueError: `out` is too small, or `augment` does not belong to these samples.
        """
        # `side` becomes a Python integer, so that its square cannot wrap around.
        samples, side = np.ascontiguousarray(samples, SAMPLE), operator.index(options.side)
        n, lut, augment = len(samples), options.lut, options.augment
        item = 1 if lut is None else lut.dtype.itemsize
        low, steps = side, EtAugment()
        if augment is not None:
            item = 4 if augment.normalises else item
            low = side if augment.low_pass is None else augment.low_pass.side
            steps = augment.struct(n, lut)
        if not out.flags.c_contiguous or out.nbytes < n * 3 * low * low * item:
            raise ValueError(f"`out` must hold {n} x 3 x {low} x {low} elements in one piece, got {out.nbytes} bytes.")
        super().__init__(n)
        self.out = out
        self._batch = EtBatch(
            samples.ctypes.data,
            n,
            filter_struct(options.filter),
            options.fd,
            side,
            out.ctypes.data,
            lut.ctypes.data if lut is not None else None,
            item,
            options.channels_last,
            self.status.ctypes.data,
            self._messages.ctypes.data,
            steps,
        )
        self._keep = (self.status, self._messages, samples, out, options)
        self.address = ctypes.addressof(self._batch)

    def finish(self, i: int, pixels: NDArray[np.uint8]) -> None:
        """Finishes sample `i`, resampled by another library, on this thread: the kernel's steps after resampling.

        Args:
            i: place in the batch, which must not be in progress.
            pixels: uint8 [3, B, B].

        Raises:
            LoaderError: an augmentation that the kernel refuses.
        """
        pixels = np.ascontiguousarray(pixels, np.uint8)
        message = self._messages[i]
        if library().et_finish_one(self.address, i, pixels.ctypes.data, message.ctypes.data):
            raise LoaderError(f"sample {i} of the batch: {self.message(i)}")


class _UnderWay:
    """A batch in progress in a pool."""

    def _begin(self, pool: Pool, submit: Callable[..., None], batch: int, *keep: Any) -> None:
        """Starts it. batch: address of the argument of `submit`. keep: objects kept alive until the kernel is done."""
        self._pool, self._ticket = pool, ctypes.c_void_p()
        # Before it starts: Ctrl-C may come at any line, and threads must not write to freed memory.
        self._close = weakref.finalize(self, _free_ticket, self._ticket, pool.pid, *keep)
        # At the program's exit a daemon thread may still wait for this batch: closing the pool ends the wait.
        self._close.atexit = False
        pool.call(submit, batch, ctypes.addressof(self._ticket))

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until every sample is done, at most `timeout` seconds. Returns True when done; Ctrl-C interrupts it.

        Raises:
            LoaderError: the pool was closed before the batch was done, or this is a fork of its process.
        """
        if os.getpid() != self._pool.pid:
            self._pool.check()
        left = float("inf") if timeout is None else timeout * 1000
        while not (state := library().et_ticket_wait(self._ticket, int(min(_POLL, max(left, 0))))):
            left -= _POLL
            if left <= 0:
                return False
        if state == 2:
            raise LoaderError("the loader was closed while a batch was being decoded; make a new Loader")
        return True

    def close(self) -> None:
        """Cancels samples that have not started and waits for those being decoded."""
        self._close()


class PoolBatch(KernelBatch, _UnderWay):
    """A batch being decoded by a pool."""

    def __init__(self, pool: Pool, samples: NDArray[np.void], options: KernelOptions, out: NDArray[Any]) -> None:
        """samples, options, out: those of `KernelBatch`."""
        super().__init__(samples, options, out)
        self._begin(pool, library().et_submit, self.address, *self._keep)


def _free_ticket(ticket: ctypes.c_void_p, pid: int, *_keep: Any) -> None:
    if ticket.value and os.getpid() == pid:  # after a fork the threads exist in the parent only
        library().et_ticket_free(ticket)


def _free_pool(handle: int, pid: int, lock: threading.RLock) -> None:
    if os.getpid() == pid:
        with lock:
            library().et_pool_free(handle)


class Pool:
    """Threads that decode. One pool serves any number of batches of any shape, oldest first."""

    def __init__(self, workers: int) -> None:
        """Starts the threads.

        Args:
            workers: threads, at least 1.

        Raises:
            LoaderError: the system cannot start that many threads.
        """
        if workers < 1:
            raise ValueError(f"`workers` must be at least 1, got {workers}.")
        self.pid = os.getpid()
        self.handle = library().et_pool_new(workers)
        if not self.handle:
            raise LoaderError(f"the system cannot start {workers} threads; pass a smaller `workers`")
        self._lock = threading.RLock()
        self._close = weakref.finalize(self, _free_pool, self.handle, self.pid, self._lock)

    def submit(self, samples: NDArray[np.void], options: KernelOptions, out: NDArray[Any]) -> PoolBatch:
        """Starts a batch and returns immediately.

        Args:
            samples, options, out: those of `KernelBatch`.

        Raises:
            LoaderError: the pool belongs to another process (a fork) or is closed.
        """
        return PoolBatch(self, samples, options, out)

    def stats(self) -> dict[str, int]:
        """Sums over all samples so far: nanoseconds of thread time per station, bytes, samples."""
        values = (ctypes.c_int64 * len(STATS))()
        self.call(library().et_pool_stats, values)
        return dict(zip(STATS, values, strict=True))

    def readers(self) -> int:
        """Threads that read ahead of decoding; 0 while storage is fast, at most 512."""
        return int(self.call(library().et_pool_readers))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls `function(handle, *arguments)` of the kernel; no other thread can close the pool during the call.

        Raises LoaderError as `check` does.
        """
        self.check()  # before the lock, because a lock that was held during a fork stays held in the child
        with self._lock:
            self.check()
            return function(self.handle, *arguments)

    def check(self) -> None:
        """Raises LoaderError if the pool cannot be used: closed, or made before a fork."""
        if not self._close.alive:
            raise LoaderError("the loader's thread pool is closed; make a new Loader")
        if os.getpid() != self.pid:
            raise LoaderError(
                "the loader was made before a fork, which does not copy its threads; make it in the child process"
            )

    def close(self) -> None:
        """Cancels pending batches and joins the threads. Can be called more than once."""
        self._close()


def peek_files(
    paths: NDArray[np.int64], pool: Pool
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.int32]]:
    """Widths, heights and statuses from the headers of files, whose NUL-terminated names are at these addresses.

    Raises:
        LoaderError: the pool is closed, or was made before a fork.
    """
    pool.check()
    paths = np.ascontiguousarray(paths, np.int64)
    widths, heights = np.zeros(len(paths), np.uint16), np.zeros(len(paths), np.uint16)
    status = np.full(len(paths), -1, np.int32)
    pointers = (array.ctypes.data for array in (widths, heights, status))
    library().et_peek_files(pool.handle, paths.ctypes.data, len(paths), *pointers)
    if (status < 0).any():  # another thread closed the pool meanwhile
        pool.check()
    return widths, heights, status


def resample(rgb: NDArray[np.uint8], sample: NDArray[np.void], *, side: int, filter: Filter) -> NDArray[np.uint8]:
    """The kernel's resampler on pixels that another library decoded.

    Args:
        rgb: height x width x 3.
        sample: one SAMPLE whose `box`, `full` and `flip` are carried out.

    Returns:
        3 x B x B.
    """
    rgb, sample = np.ascontiguousarray(rgb, np.uint8), np.ascontiguousarray(sample, SAMPLE)
    out = np.empty((3, side, side), np.uint8)
    table = filter_struct(filter)
    height, width = rgb.shape[:2]
    status = library().et_resample(
        rgb.ctypes.data, width, height, sample.ctypes.data, ctypes.byref(table), side, out.ctypes.data
    )
    if status != OK:
        raise LoaderError(f"resampling {width} x {height} pixels to {side} x {side} failed with status {status}")
    return out


def finished(
    images: NDArray[np.uint8],
    augment: Augment | None = None,
    lut: NDArray[Any] | None = None,
    channels_last: bool = False,
) -> NDArray[Any]:
    """Copies of decoded images after the kernel's steps that follow resampling, computed on this thread.

    Args:
        images: uint8 [n, 3, B, B].
        augment: operations, no erasing and no low-pass; None: none.
        lut, channels_last: see `KernelOptions`.

    Returns:
        [n, 3, B, B], or [n, B, B, 3] with `channels_last`, of the dtype of `lut`, or uint8.

    Raises:
        LoaderError: an operation that the kernel refuses.
    """
    images = np.ascontiguousarray(images, np.uint8)
    n, channels, side, _ = images.shape
    # NumPy asks for huge pages, which torch does not: of a large array, torch's page faults take longer than the rest.
    out = np.empty((n, side, side, channels) if channels_last else images.shape, np.uint8 if lut is None else lut.dtype)
    message = np.zeros(_MESSAGE, np.uint8)
    batch = EtBatch(
        side=side,
        out=out.ctypes.data,
        lut=None if lut is None else lut.ctypes.data,
        element=out.itemsize,
        channels_last=channels_last,
        augment=EtAugment() if augment is None else augment.struct(n, lut),
    )
    source, finish = images.ctypes.data, library().et_finish_one
    for i in range(n):
        if finish(ctypes.addressof(batch), i, source + i * images[0].nbytes, message.ctypes.data):
            raise LoaderError(f"image {i} of the batch: {_text(message)}")
    return out


def _text(message: NDArray[np.uint8]) -> str:
    return bytes(message).split(b"\0", 1)[0].decode("utf-8", "replace")
