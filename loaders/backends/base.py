"""The interface of a backend, which executes planned batches, its options, and a batch that is being decoded."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..batch import Batch
from ..errors import BadSample
from ..plan import CropGeometry
from ..plan.crop import DEFAULT
from ..stage import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackendOptions:
    """Options of a backend and of its `Decoder`; `Loader` has checked them."""

    train: bool
    """Random crops and flips; else the fixed crop of evaluation."""
    seed: int = 0
    """Of crops, flips, augmentation and replacements: 0 to 2**64 - 1."""
    num_workers: int = 1
    """Decoding threads, at least 1."""
    prefetch_factor: int = 3
    """Batches that a backend decodes ahead, at least 1; `Decoder` alone has no use for it."""
    on_error: str = "raise"
    """"raise", or "replace" a sample that cannot be decoded by one of `replace_from`."""
    filter: str = "fourier"
    """Of training, see `plan.filters.build`."""
    max_level: int | None = None
    """Coarsest level to read, from 0 on, which is full size; None: all levels."""
    geometry: CropGeometry = DEFAULT
    """Of the crops; its `interpolation` is the filter of evaluation."""
    replace_from: NDArray[np.int64] | None = None
    """Sample indices; None: all."""
    window: int = 0
    """Samples in a window of quasi-random order, which are neighbours in storage; 0: another order."""


class PendingBatch(Protocol):
    """A batch that is being decoded, by the kernel's threads, FFCV's or DALI's.

    Attributes:
        out: memory that receives the pixels.
        status: `EtStatus` of each sample, [n], valid after `wait`.
    """

    out: NDArray[Any]
    status: NDArray[np.int32]

    def wait(self) -> object:
        """Returns when every sample is done."""
        ...

    def message(self, i: int) -> str:
        """The reason why sample `i` failed."""
        ...

    def close(self) -> None:
        """Cancels samples that have not begun and waits for the others."""
        ...


class Backend(Protocol):
    """Executes the plan. Made with a data set, a `TransformPipeline` and `BackendOptions`; owns its threads.

    Attributes:
        bad: samples that could not be decoded, by sample index.
    """

    @property
    def bad(self) -> dict[int, BadSample]: ...

    def run(self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]) -> Generator[Batch, None, None]:
        """One epoch's batches: images [n, 3, B, B] and labels int64 [n], on the device. The caller may keep them.

        The call itself may plan the first batch, and "auto" may measure; all other work begins with the first `next`.
        Closing the generator cancels the batches in progress.

        Args:
            stage: resolution, magnitude and batch size.
            epoch: of the random numbers.
            batches: draw keys (see `plan.rng.draw_keys`) of each batch of this rank, in the order of delivery.

        Raises:
            BadSample: a sample cannot be decoded, and `on_error` is "raise" or no other sample could replace it.
        """
        ...

    def stats(self) -> dict[str, int]:
        """Sums since the backend was made, see `native.Pool.stats`."""
        ...

    def close(self) -> None:
        """Stops the threads. Can be called more than once."""
        ...
