"""FFCV: its own beton, its RandomResizedCrop decoder (decodes the whole image, area-resizes the crop), its flip.

The beton is written once by FFCV's DatasetWriter at full size and JPEG quality 95. `os_cache=True` with random order
(data that fit in memory), `os_cache=False` with quasi-random order (larger data), as FFCV's guide recommends. Output:
uint8 NHWC tensors, with no conversion behind them; on a GPU normalised float16. Compiling, some 12 s, is outside
every window.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import RandomHorizontalFlip, ToTensor
from ffcv.writer import DatasetWriter
from PIL import Image
from torchvision.datasets import ImageFolder

from ..harness.contestant import Job, Stream

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
QUALITY = 95
AHEAD = 3  # FFCV's default number of batches ahead
LONG = 1 << 20  # records of one FFCV epoch: long enough that no window sees its end


def beton(job: Job) -> Path:
    return Path(job.work, f"ffcv-q{QUALITY}.beton")


def write(folder: str, path: Path, workers: int) -> None:
    """Writes an image folder as FFCV does; `efficienttrain benchmark convert` times this, too."""
    fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=QUALITY), "label": IntField()}
    images = ImageFolder(folder, loader=_rgb)
    DatasetWriter(str(path), fields, num_workers=workers).from_indexed_dataset(images)


def prepare(job: Job) -> None:
    path = beton(job)
    if not path.exists():
        part = path.with_suffix(".part")
        write(job.folder, part, job.threads)
        os.replace(part, path)


def build(job: Job) -> Stream:
    pipelines = {
        "image": [
            RandomResizedCropRGBImageDecoder((job.resolution, job.resolution)),
            RandomHorizontalFlip(),
            ToTensor(),
            *(_on_gpu() if job.device == "cuda" else ()),
        ],
        "label": [IntDecoder(), ToTensor()],
    }
    records, quasi = len(ImageFolder(job.folder)), job.options.get("quasi", False)
    loader = Loader(
        str(beton(job)),
        batch_size=job.batch_size,
        num_workers=job.threads,
        os_cache=not quasi,
        seed=job.seed,
        order=OrderOption.QUASI_RANDOM if quasi else OrderOption.RANDOM,
        batches_ahead=AHEAD,
        pipelines=pipelines,
        # Quasi-random order takes each sample once: its epochs end as they are.
        indices=np.arange(records) if quasi else np.tile(np.arange(records), LONG // records + 1),
    )
    return Stream(endless(loader), job, ahead=AHEAD + 1)


def endless(loader: Loader) -> Iterator[torch.Tensor]:
    while True:
        for batch, _ in loader:
            yield batch


def _on_gpu() -> list[Any]:
    """From the copy to the GPU on, as in FFCV's CIFAR example."""
    from ffcv.transforms import Convert, ToDevice, ToTorchImage
    from torchvision.transforms import Normalize

    mean, std = (tuple(255 * value for value in values) for values in (MEAN, STD))
    return [
        ToDevice(torch.device("cuda:0"), non_blocking=True),
        ToTorchImage(),
        Convert(torch.float16),
        Normalize(mean, std),
    ]


def _rgb(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
