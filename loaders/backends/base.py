"""The interface of a backend, which executes planned batches, and of a batch that is being decoded."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..batch import Batch
from ..errors import BadSample
from ..stage import Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    """Executes the plan. Made with a data set and a `TransformPipeline`; owns its threads.

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
