"""WebDataset: JPEGs unchanged in tar shards, read in sequence, shuffled in a buffer, batched in DataLoader workers.

As its documentation advises: several shards a worker, a shuffle buffer of 1,000 samples, batches made in the workers,
`WebLoader(batch_size=None)`, and `repeat` instead of epochs. Decoding and transforms are those of `torchvision-v2`,
which is faster than WebDataset's own `decode("pil")`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import webdataset

from ..harness.contestant import Job, Stream
from ..harness.data import find
from ..harness.epoch import Epoch
from .torchvision_ import PREFETCH
from .torchvision_v2 import DecodeAndTransform

SHARDS = 4  # for each worker, at least
SHARD_BYTES = 64e6  # at most
BUFFER = 1000  # samples in the shuffle buffer of a worker


def _shards(job: Job) -> Path:
    return Path(job.work, "webdataset")


def prepare(job: Job) -> None:
    if _shards(job).exists():
        return
    part = Path(job.work, "webdataset.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    files = find(Path(job.folder))
    total = sum(file.stat().st_size for file in files)
    count = min(len(files), max(SHARDS * job.threads, round(total / SHARD_BYTES)))
    for shard in range(count):  # every shard a fair sample of the classes, as its guide recommends
        with webdataset.TarWriter(str(part / f"{shard:05d}.tar")) as tar:
            for number in range(shard, len(files), count):
                tar.write({"__key__": f"{number:08d}", "jpg": files[number].read_bytes(), "cls": "0"})
    os.replace(part, _shards(job))


def _batches(job: Job, shards: Any) -> Any:
    images = (
        shards.shuffle(BUFFER)
        .to_tuple("jpg")
        .map_tuple(DecodeAndTransform(job.resolution))
        .batched(job.batch_size, partial=bool(job.options.get("store")))
    )
    loader = webdataset.WebLoader(images, batch_size=None, num_workers=job.threads, prefetch_factor=PREFETCH)
    return (batch for (batch,) in loader)


def build(job: Job) -> Stream:
    urls = sorted(map(str, _shards(job).glob("*.tar")))
    shards = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=job.seed).repeat()
    return Stream(_batches(job, shards), job, ahead=job.threads * PREFETCH)


def remote(job: Job) -> Epoch:
    """One epoch from a store: curl reads each shard from beginning to end, as its documentation advises."""
    urls = [f"{job.options['http']}/webdataset/{shard.name}" for shard in sorted(_shards(job).glob("*.tar"))]
    return Epoch(_batches(job, webdataset.WebDataset(urls, shardshuffle=len(urls), seed=job.seed)), job)
