"""timm's own loader (`create_loader`), brought to the published recipe as its released code does it.

timm makes RandomResizedCrop to 224, flip and RandAugment; the Lanczos Resize to B is inserted before the
conversion to a tensor. timm's prefetcher normalises whole batches; workers persist; its MultiEpochsDataLoader
runs on across epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from timm.data import ImageDataset, create_loader
from torchvision.transforms import InterpolationMode, Resize

from ..harness.contestant import Job, Stream

BASE = 224


def build(job: Job) -> Stream:
    images = ImageDataset(job.folder)
    loader = create_loader(
        images,
        (3, max(BASE, job.resolution), max(BASE, job.resolution)),
        job.batch_size,
        is_training=True,
        auto_augment=f"rand-m{job.options['magnitude']:g}-mstd0.5-inc1" if "magnitude" in job.options else None,
        color_jitter=None,
        interpolation="bicubic",
        num_workers=job.threads,
        device=torch.device(job.device),
        pin_memory=job.device == "cuda",
        use_multi_epochs_loader=True,
    )
    steps = images.transform.transforms
    if job.resolution < BASE:
        steps.insert(len(steps) - 1, Resize(job.resolution, interpolation=InterpolationMode.LANCZOS))
    return Stream(_endless(loader), job, ahead=job.threads * 2 + 1)


def _endless(loader: Any) -> Iterator[torch.Tensor]:
    while True:
        for batch, _ in loader:
            yield batch
