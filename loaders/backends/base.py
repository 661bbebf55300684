"""What every backend is: something that carries out planned batches."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import BadSample
from ..stage import Stage

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class Backend(Protocol):
    """Executes the plan. Made with a data set and a `Pipeline`; owns its threads.

    Attributes:
        bad: what could not be decoded, by sample index.
    """

    @property
    def bad(self) -> dict[int, BadSample]: ...

    def run(
        self, stage: Stage, epoch: int, batches: Sequence[NDArray[np.int64]]
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """One epoch's batches: images [n, 3, B, B] and labels int64 [n], on the device, the caller's to keep.

        The call itself may plan the first batch, and "auto" measure; the rest begins with the first `next`. Closing the
        generator gives up what is under way.

        Args:
            stage: what to deliver.
            epoch: which the draws depend on.
            batches: sample indices of each batch of this rank, in the order of delivery.

        Raises:
            BadSample: a sample cannot be decoded, and `on_error` is "raise" or no other sample could take its place.
        """
        ...

    def stats(self) -> dict[str, int]:
        """Sums since the backend was made, see `native.Pool.stats`."""
        ...

    def close(self) -> None:
        """Stops the threads. Harmless when called again."""
        ...
