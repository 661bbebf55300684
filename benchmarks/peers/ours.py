"""Ours: `loaders.Loader`, as a user has it: the random crop and flip of training, uint8 NCHW out (float16 on a GPU).

Variants: the pyramid; the same in quasi-random order; the pyramid with float32 out (as torchvision's transforms
deliver); the pyramid's full-size level only; the plain image folder, without conversion; DALI as the decoder;
RandAugment. Epochs end and begin inside the windows, as a user's do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from loaders import Loader, convert, open_dataset
from loaders.requirements import dali_missing

from ..harness.contestant import Job, Stream
from ..harness.epoch import Epoch

PREFETCH = 3  # the Loader's default


def prepare(job: Job) -> None:
    if not Path(job.pyramid).exists():
        convert(job.folder, job.pyramid, workers=job.threads)


class Ours(Stream):
    """The loader's batches, epoch after epoch; it knows the mean size of a full-size record, and bytes decoded."""

    def __init__(self, loader: Loader, stored_bytes: float, job: Job) -> None:
        self._loader, self._stored_bytes = loader, stored_bytes
        super().__init__(_endless(loader), job, ahead=PREFETCH + 1)

    def facts(self) -> dict[str, float]:
        stats = self._loader.stats()
        return {
            "stored_bytes": self._stored_bytes,
            "decoded_bytes": stats["bytes_decoded"] / max(1, stats["samples"]),
        }


def _endless(loader: Loader) -> Iterator[torch.Tensor]:
    while True:
        for batch, _ in loader:
            yield batch


def build(job: Job) -> Ours:
    backend = job.options.get("backend", "torch")
    if backend == "dali" and (why := dali_missing()):
        raise ImportError(why)
    data = job.folder if job.options.get("folder") else job.pyramid
    loader = Loader(
        data,
        batch_size=job.batch_size,
        resolution=job.resolution,
        shuffle=job.options.get("shuffle", True),
        seed=job.seed,
        num_workers=job.threads,
        backend=backend,
        device=job.device,
        magnitude=job.options.get("magnitude"),
        dtype=job.options.get("dtype", "uint8" if job.device == "cpu" else "float16"),
        augment_at=job.options.get("augment_at", "resolution"),
        max_level=job.options.get("max_level"),
        prefetch_factor=PREFETCH,
    )
    with open_dataset(job.pyramid) as dataset:
        sizes = dataset.entries(np.arange(len(dataset)))["size"][:, 0]
    return Ours(loader, float(sizes.mean()), job)


class _Images:
    """The images of a loader's batches, epoch after epoch."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (images for images, _ in self._loader)


def remote(job: Job) -> Epoch:
    """One epoch from a store; nothing is kept on the disk."""
    loader = Loader(
        f"{job.options['store']}/{Path(job.pyramid).name}",
        batch_size=job.batch_size,
        resolution=job.resolution,
        shuffle=job.options.get("shuffle", True),
        seed=job.seed,
        num_workers=job.threads,
        dtype="uint8",
        drop_last=False,
    )
    return Epoch(_Images(loader), job)
