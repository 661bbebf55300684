"""litData: JPEGs unchanged in chunks of 64 MB, which its StreamingDataset maps, with its own DataLoader and workers.

As its documentation advises: `optimize`, `StreamingDataset`, `StreamingDataLoader`. Samples hold the file's bytes,
which are decoded as in `torchvision-v2`: litData's own type for JPEGs leaves files with EXIF to Pillow.
Oversampled to a long epoch (`subsample`), so that no window holds the start of workers.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litdata
import torch
from litdata.streaming import downloader

from ..harness.contestant import Job, Stream
from ..harness.data import find
from ..harness.epoch import Epoch
from .torchvision_ import PREFETCH
from .torchvision_v2 import DecodeAndTransform

CHUNK = "64MB"
LONG = 1 << 17  # samples of an epoch


class Images(litdata.StreamingDataset):
    """Decoded and transformed images, uint8 [3, B, B]."""

    def __init__(self, folder: str, job: Job, **options: Any) -> None:
        super().__init__(folder, shuffle=True, seed=job.seed, **options)
        self._decode = DecodeAndTransform(job.resolution)

    def __getitem__(self, index: Any) -> torch.Tensor:
        return self._decode(super().__getitem__(index)["image"])


def _chunks(job: Job) -> Path:
    return Path(job.work, "litdata")


def _sample(file: str) -> dict[str, Any]:
    return {"image": Path(file).read_bytes(), "label": 0}


def prepare(job: Job) -> None:
    if _chunks(job).exists():
        return
    part = Path(job.work, "litdata.part")
    shutil.rmtree(part, ignore_errors=True)
    files = list(map(str, find(Path(job.folder))))
    litdata.optimize(_sample, files, str(part), chunk_bytes=CHUNK, num_workers=job.threads, verbose=False)
    os.replace(part, _chunks(job))


def build(job: Job) -> Stream:
    times = max(1, LONG // len(find(Path(job.folder))))
    loader = _loader(Images(str(_chunks(job)), job, subsample=float(times)), job, drop_last=True)
    return Stream(_endless(loader), job, ahead=job.threads * PREFETCH)


def remote(job: Job) -> Epoch:
    """One epoch from a store; chunks are downloaded whole, and kept as long as its cache has room for them."""
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = "true"  # its reading ahead takes https alone otherwise
    images = Images(f"{job.options['store']}/litdata", job, cache_dir=job.options["local"])
    return Epoch(_loader(images, job, drop_last=False), job)


def _loader(images: Images, job: Job, drop_last: bool) -> Any:
    return litdata.StreamingDataLoader(
        images,
        batch_size=job.batch_size,
        num_workers=job.threads,
        prefetch_factor=PREFETCH,
        persistent_workers=True,
        drop_last=drop_last,
    )


def _endless(loader: Any) -> Iterator[torch.Tensor]:
    while True:
        yield from loader
