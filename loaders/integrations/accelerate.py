"""The end of an epoch for Hugging Face Accelerate, which steps after a short accumulation and removes padding from
gathered results. A Loader reports it as Accelerate's own data loaders do, without being wrapped.
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

    rest: samples of the last batch on all ranks together if that is smaller than the others, else 0.

    Yields a function to be called before each batch is delivered, with the number of batches that follow it. Has no
    effect unless the program has set Accelerate up; Accelerate is never imported for this.
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
