"""Batches of crops as separate JPEGs, for other decoders. Cut by the pool's threads, without the GIL."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ..errors import LoaderError
from ..plan.records import SAMPLE
from .kernel import library
from .pool import Outcome, Pool, _UnderWay
from .structs import EtCutBatch

_LARGEST = 1 << 30  # bytes of a file that the kernel reads


class Cutting(Outcome, _UnderWay):
    """A batch being cut: for each sample the part that contains its crop, or the whole JPEG if it cannot be cut.

    A pyramid's bytes are compared with their checksums, its headers with the index, and a JPEG passed whole must have
    its stated length. So for a pyramid, OK means that every byte that a decoder will read is intact.

    Attributes:
        origins: int32 [n, 2], x and y in the stored level of each JPEG's first pixel; valid once `wait` returned.
    """

    def __init__(self, pool: Pool, samples: NDArray[np.void], fd: int = -1) -> None:
        """Starts at once.

        Args:
            pool: whose threads cut.
            samples: SAMPLE [n].
            fd: the data set's file, for samples without a path of their own.

        Raises:
            LoaderError: the pool belongs to another process (a fork) or is closed; or memory is exhausted.
        """
        samples = np.ascontiguousarray(samples, SAMPLE)
        n = len(samples)
        super().__init__(n)
        self._slots = np.zeros(n + 1, np.int64)
        np.cumsum(_sizes(samples["entry"]), out=self._slots[1:])
        try:
            self._out = np.empty(int(self._slots[-1]), np.uint8)
        except MemoryError:
            raise LoaderError(
                f"out of memory for the {self._slots[-1]} bytes that {n} JPEGs have; take a smaller `batch_size`"
            ) from None
        self._sizes, self.origins = np.zeros(n, np.int64), np.zeros((n, 2), np.int32)
        arrays = (self._out, self._slots, self._sizes, self.origins, self.status, self._messages)
        self._batch = EtCutBatch(samples.ctypes.data, n, fd, *(array.ctypes.data for array in arrays))
        self._begin(pool, library().et_submit_cut, ctypes.addressof(self._batch), samples, *arrays)

    def jpeg(self, i: int) -> NDArray[np.uint8]:
        """Sample `i`, a view of the batch's shared memory; empty unless its status is OK."""
        start = int(self._slots[i])
        return self._out[start : start + int(self._sizes[i])]


def _sizes(entries: NDArray[np.void]) -> NDArray[np.int64]:
    """Largest possible size of each cut in bytes; 0 if the kernel will refuse it."""
    sizes = entries["size"].astype(np.int64)
    for i in np.flatnonzero(entries["path"] > 0):
        with suppress(OSError):
            sizes[i] = os.stat(ctypes.string_at(int(entries["path"][i]))).st_size
    return np.where(sizes <= _LARGEST, sizes, 0)
