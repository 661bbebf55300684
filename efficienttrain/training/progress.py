"""The progress line of a training."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

FORMAT = "{percentage:5.1f}% |{bar}| {elapsed}<{remaining} {postfix}"


class Progress:
    """A bar over the compute, not over the steps, whose cost changes with the stage: so its ETA holds."""

    def __init__(self, show: bool, begun: float = 0.0) -> None:
        """begun: share of the compute that was spent before."""
        self._bar: Any = tqdm(total=1.0, initial=begun, bar_format=FORMAT, disable=not show, smoothing=0.05)
        self._facts: dict[str, str] = {}

    def at(self, progress: float) -> None:
        """So much of the compute is spent now."""
        self._bar.update(progress - self._bar.n)

    def tell(self, **facts: str) -> None:
        """Shows these facts after the bar, beside earlier ones."""
        self._facts.update(facts)
        self._bar.set_postfix_str(", ".join(f"{name} {value}" for name, value in self._facts.items()), refresh=False)

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._bar.close()
