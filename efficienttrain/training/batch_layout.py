"""The division of an optimizer step's samples into ranks, micro-batches and loader batches."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Layout:
    """A step uses ranks * accumulation * micro samples, and the loader supplies 1 / factor of them."""

    ranks: int
    accumulation: int
    """Micro-batches that each rank processes per optimizer step."""
    micro: int
    """Samples per micro-batch, on each rank."""
    factor: int = 1
    """Replay factor; divides `micro`."""

    @property
    def batch(self) -> int:
        """Samples per step on all ranks together."""
        return self.ranks * self.accumulation * self.micro

    @property
    def fresh(self) -> int:
        """Samples in a batch of the loader, on each rank."""
        return self.micro // self.factor

    @property
    def fresh_step(self) -> int:
        """Samples per step from all loaders together."""
        return self.batch // self.factor

    def halved(self) -> Layout:
        """The same step with half the micro-batch and twice the accumulation.

        Raises:
            ValueError: the micro-batch cannot be halved, or half of it is not a multiple of the replay factor.
        """
        if self.micro % 2 or self.micro // 2 % self.factor:
            raise ValueError(
                f"out of GPU memory with a micro-batch of {self.micro}, which cannot be halved any further"
                f"{f' at replay factor {self.factor}' if self.factor > 1 else ''}; take a smaller model."
            )
        return replace(self, micro=self.micro // 2, accumulation=self.accumulation * 2)


def lay_out(batch: int, ranks: int, micro: int, factor: int = 1) -> Layout:
    """The layout whose micro-batch is the largest that divides the rank's share evenly, at most `micro`.

    Raises:
        ValueError: the batch is not a multiple of the number of ranks, or a rank's share not of the replay factor.
    """
    if batch % ranks:
        low = batch // ranks * ranks
        raise ValueError(
            f"`batch` must be a multiple of the number of ranks, {ranks}, got {batch}; "
            f"nearest are {low or ranks} and {low + ranks}."
        )
    share = batch // ranks
    if share % factor:
        raise ValueError(
            f"each rank's share of the batch must be a multiple of the replay factor, {factor}, got {share}."
        )
    fitting = [size for size in range(factor, min(micro, share) + 1, factor) if share % size == 0]
    size = max(fitting, default=factor)
    return Layout(ranks, share // size, size, factor)
