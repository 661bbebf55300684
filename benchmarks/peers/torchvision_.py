"""The loader in use today: torch's DataLoader, an ImageFolder, the transforms of EfficientTrain++'s released code.

RandomResizedCrop to 224 (bicubic), flip, [timm's rand-m{M}-mstd0.5-inc1 at 224], Resize to B (Lanczos) where B
< 224, ToTensor, Normalize: float32 out. One worker process a thread, persistent, default prefetching; pinned memory and
asynchronous copies if batches go to a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode

from ..harness.contestant import Job, Stream

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BASE = 224  # side of the published transforms' crop at every resolution, pixels
PREFETCH = 2  # batches per worker, the DataLoader's default


class EndlessShuffle(Sampler[int]):
    """Epoch after epoch without an end, so that no window holds the start of workers' work."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._generator = count, torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self._count, generator=self._generator).tolist()


def official(resolution: int, magnitude: float | None, base: int = BASE) -> transforms.Compose:
    """The published training transforms at resolution B; base: full size of the training, pixels."""
    steps: list[object] = [
        transforms.RandomResizedCrop(max(base, resolution), interpolation=InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
    ]
    if magnitude is not None:
        from timm.data.auto_augment import rand_augment_transform

        fill = tuple(min(255, round(255 * value)) for value in MEAN)
        hints = {
            "translate_const": int(base * 0.45),
            "img_mean": fill,
            "interpolation": 3,
        }  # 3: PIL's bicubic
        steps.append(rand_augment_transform(f"rand-m{magnitude:g}-mstd0.5-inc1", hints))
    if resolution < base:
        steps.append(transforms.Resize(resolution, interpolation=InterpolationMode.LANCZOS))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def endless(data: Dataset[Any], job: Job, **options: Any) -> DataLoader[Any]:
    """Shuffled batches without an end, by `job.threads` workers. options: more of the DataLoader's."""
    return DataLoader(
        data,
        job.batch_size,
        sampler=EndlessShuffle(len(data), job.seed),  # type: ignore[arg-type]
        num_workers=job.threads,
        persistent_workers=True,
        prefetch_factor=PREFETCH,
        drop_last=True,
        **options,
    )


def build(job: Job) -> Stream:
    if job.options.get("simd"):
        metadata.version("pillow-simd")  # an ImportError if Pillow is not pillow-simd
    images = ImageFolder(job.folder, official(job.resolution, job.options.get("magnitude")))
    loader = endless(images, job, pin_memory=job.device == "cuda")
    return Stream((batch.to(job.device, non_blocking=True) for batch, _ in loader), job, ahead=job.threads * PREFETCH)
