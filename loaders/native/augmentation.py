"""The steps that the kernel's threads apply to an image after resampling, as structs for the kernel."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..plan.records import ERASURE, OPERATION
from .structs import EtAugment, EtLowPass


@dataclass(frozen=True, eq=False, kw_only=True)
class LowPass:
    """The low-pass that reduces augmented images of B x B pixels; see loaders/transforms/low_frequency.py.

    Attributes:
        side: of the smaller images, pixels.
        taps: int32 [side, 2], for Lanczos: each output's first pixel and number of pixels.
        weights: int32 [side, largest number of pixels], Q22, for Lanczos.
        down_even, down_odd: float32 [rows, B // 2 + 1] and [rows, (B - 1) // 2], for Fourier: rows multiples of 4.
        across_even, across_odd: float32 [B // 2 + 1, columns] and [(B - 1) // 2, columns], for Fourier: columns
            multiples of 8.
        corner: whether the last row and column of the odd parts make the spectrum's corner.
        normalise: float32 [2, 3]: means and standard deviations; the output is float32 then. None: 8-bit levels.
    """

    side: int
    taps: NDArray[np.int32] | None = None
    weights: NDArray[np.int32] | None = None
    down_even: NDArray[np.float32] | None = None
    down_odd: NDArray[np.float32] | None = None
    across_even: NDArray[np.float32] | None = None
    across_odd: NDArray[np.float32] | None = None
    corner: bool = False
    normalise: NDArray[np.float32] | None = None

    @cached_property
    def struct(self) -> EtLowPass:
        """The struct that the kernel reads; this object must outlive it."""
        names = ("taps", "weights", "down_even", "down_odd", "across_even", "across_odd", "normalise")
        arrays = {name: getattr(self, name) for name in names}
        assert all(array is None or array.flags.c_contiguous for array in arrays.values())
        return EtLowPass(
            **{name: None if array is None else array.ctypes.data for name, array in arrays.items()},
            side=self.side,
            room=0 if self.weights is None else self.weights.shape[1],
            rows_even=0 if self.down_even is None else len(self.down_even),
            rows_odd=0 if self.down_odd is None else len(self.down_odd),
            columns_even=0 if self.across_even is None else self.across_even.shape[1],
            columns_odd=0 if self.across_odd is None else self.across_odd.shape[1],
            corner=self.corner,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Augment:
    """Treatment of a batch's pixels after resampling: operations, low-pass, look-up table, erasing, in this order.

    Attributes:
        operations: OPERATION [n, steps], carried out from the first to the last, or None.
        fill: red, green and blue levels of pixels that move in from outside.
        cubic: int16 [1024, 4], weights of moved pixels, see `cubic_weights` in loaders/transforms/randaugment_ops.py.
        low_pass: None: images keep their size.
        erasures: ERASURE [n], or None; only if the output is normalised.
        noise: [65536] of the output's size of element: equally likely values of erased pixels.
    """

    operations: NDArray[np.void] | None = None
    fill: tuple[int, int, int] = (0, 0, 0)
    cubic: NDArray[np.int16] | None = None
    low_pass: LowPass | None = None
    erasures: NDArray[np.void] | None = None
    noise: NDArray[Any] | None = None

    def struct(self, n: int, lut: NDArray[Any] | None) -> EtAugment:
        """The struct that the kernel reads; this object must outlive it.

        Args:
            n: samples of the batch.
            lut: the batch's look-up table.

        Raises:
            ValueError: an array of another shape or dtype than the kernel will read.
        """
        normalised = np.dtype(np.int32) if self.normalises else None if lut is None else lut.dtype
        arrays = {
            "operations": (self.operations, OPERATION, (n, self.steps)),
            "erasures": (self.erasures, ERASURE, (n,)),
            "cubic": (self.cubic, np.dtype(np.int16), (1024, 4)),
            "noise": (self.noise, normalised, (1 << 16,)),
        }
        for name, (array, dtype, shape) in arrays.items():
            if array is not None and not (array.dtype == dtype and array.shape == shape and array.flags.c_contiguous):
                raise ValueError(f"`{name}` must be {dtype} {shape} in one piece, got {array.dtype} {array.shape}.")
        for name, needed in (("operations", "cubic"), ("erasures", "noise")):
            if arrays[name][0] is not None and arrays[needed][0] is None:
                raise ValueError(f"`{needed}` must be given together with `{name}`, got None.")
        pointers = {name: None if array is None else array.ctypes.data for name, (array, _, _) in arrays.items()}
        if self.low_pass is not None:
            pointers["low_pass"] = ctypes.addressof(self.low_pass.struct)
        return EtAugment(**pointers, steps=self.steps, fill=(*self.fill, 0))

    def rows(self, rows: slice | NDArray[np.int64]) -> Augment:
        """The same treatment for some of the samples."""
        operations, erasures = (None if a is None else a[rows] for a in (self.operations, self.erasures))
        return replace(self, operations=operations, erasures=erasures)

    @property
    def normalises(self) -> bool:
        """Whether the output is float32 without a look-up table."""
        return self.low_pass is not None and self.low_pass.normalise is not None

    @property
    def steps(self) -> int:
        """Operations per sample."""
        return 0 if self.operations is None else self.operations.shape[1]
