"""MosaicML's streaming: JPEGs unchanged in MDS shards, read at random places within a shuffled block of shards.

As its documentation advises: shards of 64 MB on the local disk, the batch size given to dataset and DataLoader, the
default shuffling algorithm (py1e). One long epoch, so that no window holds the start of workers. Decoding and
transforms are those of `torchvision-v2`: faster than the column type "jpeg", which Pillow decodes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from streaming import MDSWriter, StreamingDataset
from torch.utils.data import DataLoader

from ..harness.contestant import Job, Stream
from ..harness.data import find
from ..harness.epoch import Epoch
from .torchvision_ import PREFETCH
from .torchvision_v2 import DecodeAndTransform

LONG = 1 << 17  # samples of an epoch


class Images(StreamingDataset):
    """Decoded and transformed images, uint8 [3, B, B]."""

    def __init__(self, job: Job, **where: Any) -> None:
        super().__init__(shuffle=True, batch_size=job.batch_size, shuffle_seed=job.seed, num_canonical_nodes=1, **where)
        self._decode = DecodeAndTransform(job.resolution)

    def __getitem__(self, at: int) -> torch.Tensor:
        return self._decode(super().__getitem__(at)["image"])


def _shards(job: Job) -> Path:
    return Path(job.work, "streaming")


def prepare(job: Job) -> None:
    if _shards(job).exists():
        return
    part = Path(job.work, "streaming.part")
    shutil.rmtree(part, ignore_errors=True)
    with MDSWriter(out=str(part), columns={"image": "bytes", "label": "int"}) as writer:
        for file in find(Path(job.folder)):
            writer.write({"image": file.read_bytes(), "label": 0})
    os.replace(part, _shards(job))


def build(job: Job) -> Stream:
    # Processes that open the same path would share one epoch, and streaming refuses it.
    local = Path(tempfile.mkdtemp(dir=job.work), "shards")
    local.symlink_to(_shards(job))
    loader = _loader(Images(job, local=str(local), epoch_size=LONG), job)
    return Stream(iter(loader), job, ahead=job.threads * PREFETCH)


def remote(job: Job) -> Epoch:
    """One epoch from a store; shards are downloaded whole and kept."""
    images = Images(job, remote=f"{job.options['store']}/streaming", local=job.options["local"])
    for stream in images.streams:
        # Workers are forked, and would share the connection over which the index came: they get each other's answers.
        stream._downloader.clean_up()
    return Epoch(_loader(images, job), job)


def _loader(images: Images, job: Job) -> DataLoader[torch.Tensor]:
    return DataLoader(
        images, job.batch_size, num_workers=job.threads, prefetch_factor=PREFETCH, persistent_workers=True
    )
