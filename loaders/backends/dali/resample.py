"""The kernel's resampler on pixels that DALI decoded, and the kernel itself for samples that DALI did not decode."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import native
from ...native.kernel import library
from ...native.pool import filter_struct
from ..decoder import Decoder
from .cut import Cut
from .graph import pixels
from .threads import Threads


class Resampling:
    """A batch being resampled, a `PendingBatch`.

    Attributes:
        out: the output array.
        status: an `EtStatus` per sample, [n], valid after `wait`.
        spent: nanoseconds of thread time, valid after `wait`.
    """

    def __init__(
        self,
        cut: Cut,
        images: Any,
        out: NDArray[np.uint8],
        *,
        decoder: Decoder,
        threads: Threads,
    ) -> None:
        """Starts immediately.

        Args:
            cut: n samples.
            images: DALI's pixels under each crop; None: not decoded.
            out: memory for the pixels, in the plan's output format.
        """
        batch, n = cut.batch, len(cut.status)
        format, lut = batch.format, batch.format.lut
        self.out, self.status, self.spent = out, np.zeros(n, np.int32), 0
        self._rows = np.arange(n) if images is None else np.flatnonzero(cut.status)
        self._size = out.size // n
        rest = np.empty(self._rows.size * self._size, np.uint8)
        self._rest = decoder.submit(batch.rows(self._rows), rest)

        samples, filter_ = batch.samples.copy(), decoder.filter(format)
        samples["box"] = cut.box - np.tile(cut.held[:, :2], 2)
        table, resample, side = filter_struct(filter_), library().et_resample, format.resolution
        rows = out.reshape(n, -1)
        addresses, shapes = ([], []) if images is None else pixels(images)
        rest_rows = frozenset(self._rows.tolist())

        # `_alive` keeps the memory that threads read and write, even if this object is deleted.
        def work(i: int, _alive: Any = (images, samples, filter_, out)) -> tuple[int, int]:
            if i in rest_rows:
                return native.OK, 0
            began = time.perf_counter_ns()
            made = rows[i] if lut is None else np.empty(3 * side**2, np.uint8)
            sample = samples.ctypes.data + i * samples.itemsize
            status = resample(addresses[i], *shapes[i], sample, ctypes.byref(table), side, made.ctypes.data)
            if lut is not None:
                _look_up(lut, made.reshape(3, -1), rows[i].view(lut.dtype).reshape(3, -1))
            return status, time.perf_counter_ns() - began

        self._spread = threads.spread(work, n)

    def wait(self) -> None:
        """Waits for all samples."""
        done = self._spread.wait()
        self.status[:] = [status for status, _ in done]
        self.spent = sum(spent for _, spent in done)
        self._rest.wait()
        self.status[self._rows] = self._rest.status
        self.out.reshape(-1, self._size)[self._rows] = self._rest.out.reshape(-1, self._size)

    def message(self, i: int) -> str:
        """The reason why sample `i` failed."""
        row = int(np.searchsorted(self._rows, i))
        known = row < len(self._rows) and self._rows[row] == i
        return self._rest.message(row) if known else "its pixels could not be resampled"

    def close(self) -> None:
        """Cancels samples that have not begun."""
        self._spread.close()
        self._rest.close()


def _look_up(lut: NDArray[Any], planes: NDArray[np.uint8], out: NDArray[Any]) -> None:
    for values, plane, to in zip(lut, planes, out, strict=True):
        np.take(values, plane, out=to, mode="clip")  # the mode without checks: all indices are in range
