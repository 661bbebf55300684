"""The contract of a loader: what every backend, store and stage must hold. Tests call these helpers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from loaders import Loader

Batch = tuple[torch.Tensor, torch.Tensor]


def make(data: Path, **options: Any) -> Loader:
    """A small, quick loader."""
    return Loader(data, **{"batch_size": 5, "resolution": 32, "dtype": "uint8", "num_workers": 2, **options})


def digest(batches: list[Batch]) -> str:
    """One hash of images and labels of some batches."""
    total = hashlib.sha256()
    for images, labels in batches:
        total.update(images.contiguous().view(torch.uint8).numpy().tobytes())
        total.update(labels.numpy().tobytes())
    return total.hexdigest()


def check_resume(make: Callable[[], Loader], at: int) -> None:
    """Stops after `at` batches, goes on in a new loader, and compares with a run that never stopped."""
    with make() as straight:
        wanted = [*straight, *straight]
    with make() as first:
        got = []
        epoch = iter(first)
        for _ in range(at):
            try:
                got.append(next(epoch))
            except StopIteration:
                epoch = iter(first)
                got.append(next(epoch))
        state = first.state_dict()
    with make() as second:
        second.load_state_dict(state)
        while len(got) < len(wanted):
            got += list(second)
    assert len(got) == len(wanted)
    assert digest(got) == digest(wanted)
