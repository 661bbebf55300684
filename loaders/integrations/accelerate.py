"""Reports the end of an epoch to Hugging Face Accelerate, which then makes a step after an incomplete accumulation and
removes padding from gathered results. A Loader reports it like Accelerate's own data loaders, without being wrapped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..loader import Loader


@contextmanager
def report_to_accelerate(loader: Loader, steps: int, rest: int) -> Iterator[Callable[[int], None]]:
    """While a loader delivers `steps` batches, keeps `accelerate.state.GradientState` informed about them.

    rest: samples of the last batch on all ranks together if it is smaller than the other batches, else 0.

    Yields a function to call before each batch is delivered, with the number of batches that follow it. It has no
    effect unless the program has set up Accelerate; Accelerate is never imported for this.
    """
    module = sys.modules.get("accelerate.state")
    if module is None or not module.GradientState._shared_state or not steps:
        yield lambda _left: None
        return
    loader.end_of_dataloader, loader.remainder = False, -1
    state = module.GradientState()

    def report(left: int) -> None:
        if not left:
            loader.end_of_dataloader, loader.remainder = True, rest

    state._add_dataloader(loader)
    try:
        yield report
    finally:
        state._remove_dataloader(loader)
