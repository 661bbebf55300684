"""torchvision's present way on a CPU: `decode_jpeg` and transforms v2 on uint8 tensors, in DataLoader workers.

As torchvision's performance advice has it: tensors instead of Pillow images, uint8 while resizing, bilinear with
antialiasing. RandomResizedCrop goes to B directly, as in the other peers' pipelines; batches are uint8 NCHW.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from ..harness.contestant import Job, Stream
from .torchvision_ import PREFETCH, endless


def transform(resolution: int) -> Any:
    """Random resized crop to B x B and flip, uint8 in and out. WebDataset, streaming, litData and SPDL use it, too."""
    return v2.Compose([v2.RandomResizedCrop(resolution, antialias=True), v2.RandomHorizontalFlip()])


class DecodeAndTransform:
    """Bytes of a JPEG to a uint8 tensor [3, B, B]."""

    def __init__(self, resolution: int) -> None:
        self._transform = transform(resolution)

    def __call__(self, jpeg: bytes | bytearray) -> torch.Tensor:
        data = torch.frombuffer(bytearray(jpeg), dtype=torch.uint8)
        image: torch.Tensor = self._transform(decode_jpeg(data, mode=ImageReadMode.RGB))
        return image


class Images(Dataset[torch.Tensor]):
    """Each image of an image folder, decoded and transformed, uint8 [3, B, B]."""

    def __init__(self, folder: str, resolution: int) -> None:
        self._paths = [path for path, _ in ImageFolder(folder).samples]
        self._transform = transform(resolution)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self._transform(decode_jpeg(read_file(self._paths[index]), mode=ImageReadMode.RGB))
        return image


def build(job: Job) -> Stream:
    loader = endless(Images(job.folder, job.resolution), job)
    return Stream(iter(loader), job, ahead=job.threads * PREFETCH)
