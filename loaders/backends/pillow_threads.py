"""Samples that Pillow decodes: in separate threads, ahead of use, in parallel with the kernel's threads."""

from __future__ import annotations

import ctypes
import os
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import native
from ..errors import LoaderError, TooManyOpenFiles, reason
from ..pillow import decode_rgb
from ..storage.files import open_regular


class PillowJob(NamedTuple):
    """A sample to decode.

    Attributes:
        read: returns the bytes of its file. Raises OSError or LoaderError.
        sample: SAMPLE [1].
        options: of a `native.KernelBatch` of this sample.
    """

    read: Callable[[], bytes]
    sample: NDArray[np.void]
    options: native.KernelOptions


class PillowResult(NamedTuple):
    """The result for one sample.

    Attributes:
        pixels: the sample as bytes of the batch; None if it failed.
        why: the reason if it failed, or "".
        read: bytes of the file.
        spent: nanoseconds of thread time.
    """

    pixels: NDArray[np.uint8] | None
    why: str
    read: int
    spent: int


class PillowThreads:
    """As many threads as the kernel has. Pillow releases the GIL while it decodes, so they run in parallel.

    Attributes:
        sums: `pillow_ns`, nanoseconds of thread time, and `bytes_read` so far.
    """

    def __init__(self, workers: int) -> None:
        self.sums = {"pillow_ns": 0, "bytes_read": 0}
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None  # most data sets never need it

    def submit(self, jobs: Sequence[PillowJob], size: int) -> list[Future[PillowResult]]:
        """Starts samples; see `decode_with_pillow`."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="pillow")
        return [self._pool.submit(decode_with_pillow, job, size) for job in jobs]

    def count(self, result: PillowResult) -> None:
        """Adds a finished sample to the sums."""
        self.sums["pillow_ns"] += result.spent
        self.sums["bytes_read"] += result.read

    def close(self) -> None:
        """Cancels samples that have not started and joins the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class PartlyPillow:
    """A batch in which the kernel decodes some samples and Pillow the others, a `PendingBatch`.

    Attributes:
        out, status: those of the kernel's part; valid after `wait`.
    """

    def __init__(
        self, pending: native.PoolBatch, threads: PillowThreads, rows: NDArray[np.int64], jobs: Sequence[PillowJob]
    ) -> None:
        """Starts Pillow's share.

        Args:
            pending: the whole batch in progress in the kernel, which skips samples of the kind `OTHER`.
            threads: the decoding threads.
            rows: places of those samples in the batch, [n].
            jobs: one for each of them.
        """
        self.out, self.status = pending.out, pending.status
        self._pending, self._threads = pending, threads
        self._why: dict[int, str] = {}
        size = pending.out.nbytes // len(pending.status)
        self._results = dict(zip(rows.tolist(), threads.submit(jobs, size), strict=True))

    def wait(self, timeout: float | None = None) -> bool:
        """As `native.PoolBatch.wait`; `timeout` limits only the wait for the kernel.

        Raises:
            TooManyOpenFiles: a file cannot be opened now.
        """
        if not self._pending.wait(timeout):
            return False
        pixels = self.out.view(np.uint8).reshape(len(self.status), -1)
        for i, future in self._results.items():
            result = future.result()
            self._threads.count(result)
            if result.pixels is None:
                self.status[i], self._why[i] = native.DAMAGED, result.why
            else:
                self.status[i], pixels[i] = native.OK, result.pixels
        self._results.clear()
        return True

    def message(self, i: int) -> str:
        """The reason why sample `i` of the batch failed."""
        return self._why[i] if i in self._why else self._pending.message(i)

    def close(self) -> None:
        """Cancels samples that have not started, and waits for those in the kernel, but not for Pillow's."""
        for future in self._results.values():
            future.cancel()
        self._pending.close()


class StoredFile:
    """The file of a sample, or the section of the data set's file that holds it."""

    def __init__(self, entry: NDArray[np.void], fd: int) -> None:
        # the name is copied now: the data set may be closed before a thread gets here
        path = int(entry["path"])
        self._name = ctypes.string_at(path) if path > 0 else b""
        self._fd = ~path if path < 0 else fd
        self._size, self._offset, self._crc = int(entry["size"]), int(entry["offset"]), int(entry["crc"])

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: they cannot be read.
            LoaderError: they differ from the bytes that were stored.
        """
        if not self._name:
            data = os.pread(self._fd, self._size, self._offset)
            if self._crc and zlib.crc32(data) != self._crc:
                raise LoaderError("the original file kept for it does not match its CRC")
            return data
        with open_regular(os.fsdecode(self._name)) as file:
            file.seek(self._offset)
            return file.read(self._size or -1)


def decode_with_pillow(job: PillowJob, size: int) -> PillowResult:
    """Decodes, resamples and augments one sample.

    size: bytes of its pixels.

    Raises:
        TooManyOpenFiles: its file cannot be opened now.
    """
    began, data, why = time.perf_counter_ns(), b"", ""
    pixels: NDArray[np.uint8] | None = None
    try:
        data = job.read()
        decoded = decode_rgb(data).pixels
        _check_size(decoded, job.sample[0]["entry"])
        resampled = native.resample(decoded, job.sample, side=job.options.side, filter=job.options.filter)
        pixels = np.empty(size, np.uint8)
        native.KernelBatch(job.sample, job.options, pixels).finish(0, resampled)
    except TooManyOpenFiles:
        raise
    except LoaderError as error:
        pixels, why = None, str(error)
    except OSError as error:
        why = f"cannot be read: {reason(error)}"
    return PillowResult(pixels, why, len(data), time.perf_counter_ns() - began)


def _check_size(pixels: NDArray[np.uint8], entry: NDArray[np.void]) -> None:
    """Raises LoaderError for an image of another size than the one for which its crop was planned."""
    (height, width, _), planned = pixels.shape, (int(entry["width"]), int(entry["height"]))
    if (width, height) != planned:
        raise LoaderError(f"the image is {width} x {height} pixels, the index says {planned[0]} x {planned[1]}")
