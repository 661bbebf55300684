"""Ours in an older version: `loaders` of the checkout that `--against` names, over a pyramid that it has made itself.

The checkout's kernel must be built (`python setup.py build_ext --inplace` there).
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..harness.contestant import Job, Stream

PREFETCH = 3  # the Loader's default
FIRST_EDITION = {"resolution": "bandwidth", "num_workers": "workers", "dtype": "output", "prefetch_factor": "prefetch"}
"""Names of the Loader's arguments, and their names in version 0.1."""


def _loaders(job: Job) -> Any:
    """The package of the other checkout. This process has not imported ours."""
    checkout = job.options.get("against")
    if not checkout:
        raise ImportError("no --against was given")
    if not Path(checkout, "loaders").is_dir():
        raise ImportError(f"{Path(checkout).name} is no checkout of this project")
    sys.path.insert(0, checkout)
    import loaders

    if not Path(loaders.__file__).is_relative_to(checkout):
        raise RuntimeError(f"{loaders.__file__} was imported, not the package of {checkout}")
    return loaders


def _pyramid(job: Job) -> Path:
    version = hashlib.sha256(job.options["against"].encode()).hexdigest()[:8]
    return Path(job.work, f"before-{version}.beton")


def prepare(job: Job) -> None:
    loaders = _loaders(job)
    path = _pyramid(job)
    if not path.exists():
        loaders.convert(job.folder, path, workers=job.threads)


def build(job: Job) -> Stream:
    loader_class = _loaders(job).Loader
    options = {
        "resolution": job.resolution,
        "num_workers": job.threads,
        "dtype": "uint8" if job.device == "cpu" else "float16",
        "prefetch_factor": PREFETCH,
    }
    known = inspect.signature(loader_class).parameters
    loader = loader_class(
        job.folder if job.options.get("folder") else os.fspath(_pyramid(job)),
        batch_size=job.batch_size,
        seed=job.seed,
        device=job.device,
        magnitude=job.options.get("magnitude"),
        **{name if name in known else FIRST_EDITION[name]: value for name, value in options.items()},
    )
    return Stream(_endless(loader), job, ahead=PREFETCH + 1)


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        for batch, _ in loader:
            yield batch
