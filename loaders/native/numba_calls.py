"""The kernel from numba: compiled code hands samples to `et_decode_one`, several threads to a batch, without the GIL.

The code does not depend on the process, so that numba can keep the machine code on disk: the addresses of the kernel's
function and of the batch are data in a `WORK` record, not constants of the code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .kernel import library
from .structs import STATS

FUNCTION, BATCH, COUNT, NEXT, FAILED, SUMS, THREADS = FIELDS = range(7)
"""Layout of a work record, int64 [7]: addresses of `et_decode_one` and of the `EtBatch`; samples in the
batch; the next sample to take; samples that failed; address and number of the threads' sums."""
_ROW = 64  # bytes between two threads' sums: a cache line each
ALL_TAKEN = 1 << 62
"""Value of NEXT that keeps all threads from taking another sample."""


class Sums:
    """Statistics of the threads: one `EtStats` for each of them.

    Attributes:
        address, threads: for the work record.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._rows = np.zeros((threads, _ROW // 8), np.int64)
        self.address = self._rows.ctypes.data

    def total(self) -> dict[str, int]:
        """As `native.Pool.stats`."""
        columns = zip(*self._rows.tolist(), strict=True)  # not by NumPy, whose sums do not work while Python ends
        return dict(zip(STATS, map(sum, columns), strict=False))


@lru_cache(maxsize=1)
def decode_one() -> int:
    """Address of `et_decode_one`."""
    address = ctypes.cast(library().et_decode_one, ctypes.c_void_p).value
    assert address is not None
    return address


def set_work(work: NDArray[np.int64], batch: int, count: int, sums: Sums) -> None:
    """Fills a work record: `count` samples of the `EtBatch` at `batch`, from the first."""
    work[:] = decode_one(), batch, count, 0, 0, sums.address, sums.threads


@intrinsic
def _increment(_context: Any, _address: Any) -> tuple[Any, Callable[..., Any]]:
    """Adds 1 to the int64 at an address, atomically; the value before."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.intp), generate


@intrinsic
def _call(_context: Any, _function: Any, _batch: Any, _i: Any, _sums: Any) -> tuple[Any, Callable[..., Any]]:
    """`et_decode_one`, which is at an address: EtStatus(EtBatch *, int64, EtStats *)."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.IntType(32), [word] * 3)  # addresses are passed like integers of the same size
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

    return types.int32(types.int64, types.int64, types.int64, types.int64), generate


@njit(nogil=True, cache=True)
def _next(work: NDArray[np.int64], thread: int) -> int:
    """Decodes the next sample that no other thread has taken. Returns its place, or -1 if none is left."""
    i = _increment(work.ctypes.data + 8 * NEXT)
    if i >= work[COUNT]:
        return -1
    if _call(work[FUNCTION], work[BATCH], i, work[SUMS] + _ROW * thread):
        _increment(work.ctypes.data + 8 * FAILED)
    return i


@njit(nogil=True, cache=True, parallel=True)
def decode(work: NDArray[np.int64]) -> None:
    """Decodes the batch of a work record by numba's threads.

    Each thread takes the next sample when it has finished one, because samples differ in size.
    """
    for thread in prange(work[THREADS]):
        while _next(work, thread) >= 0:
            pass


@njit(nogil=True, cache=True)
def interleave(planes: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Reorders [n, 3, B, B] to [n, B, B, 3], which is FFCV's order."""
    for i in range(len(planes)):
        for y in range(planes.shape[2]):
            for x in range(planes.shape[3]):
                for c in range(3):
                    pixels[i, y, x, c] = planes[i, c, y, x]


@njit(nogil=True, cache=True, parallel=True)
def decode_interleaved(work: NDArray[np.int64], planes: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Decodes a batch whose `out` is `planes`; copies each sample to `pixels`, reordered, while it is in the cache."""
    for thread in prange(work[THREADS]):
        i = _next(work, thread)
        while i >= 0:
            interleave(planes[i : i + 1], pixels[i : i + 1])
            i = _next(work, thread)
