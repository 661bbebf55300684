"""timm's own loader (`create_loader`), brought to the published recipe as its released code does it.

timm makes RandomResizedCrop to 224, flip and RandAugment; the Lanczos Resize to B is inserted before the
conversion to a tensor. timm's prefetcher normalises whole batches; workers persist; its MultiEpochsDataLoader
runs on across epochs.

With the option "scheduled": timm's own way to train at several sizes (`input_size_choices`), here at the one size that
is measured. It makes RandomResizedCrop to B directly, which is less work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from timm.data import ImageDataset, create_loader
from torchvision.transforms import InterpolationMode, Resize

from ..harness.contestant import Job, Stream

BASE = 224


LONG = 1 << 17  # batches of an epoch of the scheduled loader


def build(job: Job) -> Stream:
    images, scheduled = ImageDataset(job.folder), job.options.get("scheduled", False)
    sizes: dict[str, Any] = {"input_size_choices": [job.resolution], "num_batches": LONG}
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
        **(sizes if scheduled else {"use_multi_epochs_loader": True}),
    )
    if not scheduled and job.resolution < BASE:
        steps = images.transform.transforms
        steps.insert(len(steps) - 1, Resize(job.resolution, interpolation=InterpolationMode.LANCZOS))
    return Stream(_endless(loader), job, ahead=job.threads * 2 + 1)


def _endless(loader: Any) -> Iterator[torch.Tensor]:
    while True:
        for batch, _ in loader:
            yield batch
