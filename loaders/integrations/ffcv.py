"""Decoders for the user's own FFCV pipelines: crops are planned first, and only the necessary parts are decoded."""

from __future__ import annotations

import ctypes
import inspect
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.base import BackendOptions
from ..backends.decoder import Decoder
from ..backends.ffcv.imports import AllocationQuery, Loader, SimpleRGBImageDecoder, State
from ..batch import BatchPlan
from ..errors import BadSample, LoaderError
from ..native import KernelBatch, numba_calls
from ..plan import CropGeometry
from ..sources import open_dataset
from ..stage import Stage
from ..transforms.pipeline import OutputFormat

_PREPARE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)
_REPAIR = ctypes.CFUNCTYPE(ctypes.c_int64)


class SubJPEGDecoder(SimpleRGBImageDecoder):
    """The common base of our decoders for FFCV pipelines; they return crops, planned first, as uint8 [n, B, B, 3].

    From a pyramid they read only the level and the part that the crop needs. From an FFCV beton they decode the part
    under the crop, or read the rows under the crop if raw pixels are stored.

    A sample that cannot be decoded becomes black, with a RuntimeWarning, because FFCV's thread cannot raise an error in
    the user's thread. `loaders.Loader(..., backend="ffcv")` has `on_error`.

    Attributes:
        output_size: side of the output in pixels, or a pair of equal sides, as in FFCV; a change applies from the next
            epoch on, without compiling.
        bad: samples that could not be decoded, by index.
    """

    def __init__(self, output_size: int | tuple[int, int], options: BackendOptions) -> None:
        """options: all but the seed, which is that of FFCV's loader."""
        super().__init__()
        self.output_size = output_size
        self._stage()
        self.bad: dict[int, BadSample] = {}
        self._options = options
        self._loader: Loader | None = None
        self._mine = threading.local()  # the current batch of each of FFCV's threads
        # Compiled code calls these by their addresses, so they must live as long as this code.
        self._prepare_c, self._repair_c = _PREPARE(self._prepare), _REPAIR(self._repair)

    def accept_globals(self, metadata: NDArray[np.void], memory_read: Callable[..., Any]) -> None:
        """Called by FFCV when a loader is made, and at each epoch.

        Raises:
            ValueError: the decoder already belongs to another loader.
            BadDataset: a beton that cannot be used, see `open_dataset`.
        """
        super().accept_globals(metadata, memory_read)
        loader = _calling_loader()
        if self._loader is loader:
            return
        if self._loader is not None:
            raise ValueError(f"a {type(self).__name__} belongs to one loader; make another one for this loader.")
        dataset = open_dataset(loader.fname, label_field=False)
        weakref.finalize(self, dataset.close).atexit = False
        self._decoder = Decoder(dataset, replace(self._options, seed=loader.seed))
        self._sums, self._loader = numba_calls.Sums(loader.num_workers), loader

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, tuple[AllocationQuery, AllocationQuery]]:
        side, dtype = self._stage().resolution, np.dtype(np.uint8)
        pixels, planes = (side, side, 3), (3, side, side)
        state = replace(previous_state, jit_mode=True, shape=pixels, dtype=dtype)
        return state, (AllocationQuery(pixels, dtype), AllocationQuery(planes, dtype))

    def generate_code(self) -> Callable[..., Any]:
        prepare, repair, fields = self._prepare_c, self._repair_c, len(numba_calls.FIELDS)

        def decode(batch_indices, memory, _metadata, _storage_state):  # type: ignore[no-untyped-def]
            pixels, planes = memory
            n, side = len(batch_indices), planes.shape[2]
            indices, work = batch_indices.astype(np.int64), np.zeros(fields, np.int64)
            if not prepare(indices.ctypes.data, n, side, planes.ctypes.data, work.ctypes.data):
                pixels[:] = 0
                return pixels
            numba_calls.decode_interleaved(work, planes, pixels)
            if work[numba_calls.FAILED]:
                repair()
                numba_calls.interleave(planes, pixels)
            return pixels

        return decode

    def _stage(self) -> Stage:
        size = self.output_size
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise ValueError(f"`output_size` must be B or (B, B), got {size}; crops are made square.")
        return Stage(resolution=sides.pop(), magnitude=None, batch_size=1)

    def _prepare(self, indices: int, n: int, side: int, planes: int, work: int) -> int:
        """Plans the batch whose sample indices and memory are at these addresses; 0 if that fails."""
        assert self._loader is not None
        try:
            keys = _array(indices, np.int64, n).copy()
            batch = self._decoder.plan(OutputFormat.pixels(side), self._loader.next_epoch - 1, keys)
            out = _array(planes, np.uint8, n * 3 * side * side)
            todo = KernelBatch(batch.samples, self._decoder.kernel_options(batch), out)
        except Exception as error:
            _warn(f"no image of this batch can be read: {error}")
            return 0
        self._mine.batch, self._mine.work = batch, todo
        numba_calls.set_work(_array(work, np.int64, len(numba_calls.FIELDS)), todo.address, n, self._sums)
        return 1

    def _repair(self) -> int:
        """Decodes with Pillow the samples that the kernel cannot decode; warns of samples that Pillow cannot decode."""
        batch: BatchPlan = self._mine.batch
        work: KernelBatch = self._mine.work
        for i in np.flatnonzero(work.status):
            status = np.where(np.arange(len(work.status)) == i, work.status, 0)
            try:
                self._decoder.repair(batch, status, work.message, work.out)
            except LoaderError as error:
                if isinstance(error, BadSample):
                    self.bad[error.index] = error
                _warn(f"{error}; it is black in its batch")
        return 0


class SubJPEGRandomResizedCrop(SubJPEGDecoder):
    """Replaces FFCV's `RandomResizedCropRGBImageDecoder` in `pipelines={"image": [...]}`.

    The distribution of crops and the form of the output are the same. The crop of a sample is a function of the FFCV
    loader's `seed`, its epoch (`next_epoch`) and the sample index. See `SubJPEGDecoder`.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        *,
        flip: bool = False,
        filter: str = "fourier",
        max_level: int | None = None,
    ) -> None:
        """
        Args:
            output_size: B or (B, B), B a whole number from 16 to 1024.
            scale: smallest and largest share of the image's area that a crop aims at, as in FFCV and torchvision.
            ratio: smallest and largest width / height that a crop aims at.
            flip: also mirror samples with probability 1/2; FFCV's `RandomHorizontalFlip` needs a separate pass.
            filter: "fourier", "lanczos" or "bicubic", see `loaders.plan.filters.build`.
            max_level: coarsest stored level to use; 0: full size only.

        Raises:
            ValueError: a size that is no square, or a number out of range.
        """
        geometry = CropGeometry(scale=scale, ratio=ratio, hflip=0.5 if flip else 0.0)
        options = BackendOptions(train=True, geometry=geometry, filter=filter, max_level=max_level)
        super().__init__(output_size, options)


class SubJPEGCenterCrop(SubJPEGDecoder):
    """Replaces FFCV's `CenterCropRGBImageDecoder`: evaluation's crop, the same in every epoch.

    The crop is that of torchvision's `Resize(int(B / ratio))` and `CenterCrop(B)`. See `SubJPEGDecoder`.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        ratio: float = 224 / 256,
        *,
        interpolation: str = "fourier",
        max_level: int | None = None,
    ) -> None:
        """
        Args:
            output_size: B or (B, B), B a whole number from 16 to 1024.
            ratio: side of the crop as a share of the image's shorter side, above 0 and at most 1, as in FFCV.
            interpolation: "fourier", or Pillow's "bicubic", "bilinear" or "lanczos".
            max_level: coarsest stored level to use; 0: full size only.

        Raises:
            ValueError: a size that is no square, or a number out of range.
        """
        if not 0 < ratio <= 1:
            raise ValueError(f"`ratio` must be above 0 and at most 1, got {ratio}; FFCV's evaluation uses 224 / 256.")
        geometry = CropGeometry(crop_pct=ratio, interpolation=interpolation)  # type: ignore[arg-type]
        super().__init__(output_size, BackendOptions(train=False, geometry=geometry, max_level=max_level))


def _calling_loader() -> Loader:
    # FFCV does not pass the name of the file to an operation.
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), Loader):
            return frame.f_locals["self"]
        frame = frame.f_back
    raise LoaderError("our decoders must be used in the `pipelines` of an `ffcv.loader.Loader`")


def _array(address: int, dtype: Any, size: int) -> NDArray[Any]:
    memory = (ctypes.c_uint8 * (size * np.dtype(dtype).itemsize)).from_address(address)
    return np.frombuffer(memory, dtype)


def _warn(message: str) -> None:
    with suppress(RuntimeWarning):  # if warnings are errors, none may leave a callback
        warnings.warn(message, RuntimeWarning, stacklevel=1)
