"""torchvision's present way on a CPU: `decode_jpeg` and transforms v2 on uint8 tensors, in DataLoader workers.

As torchvision's performance advice has it: tensors instead of Pillow images, uint8 while resizing, bilinear with
antialiasing. RandomResizedCrop goes to B directly, as in the other peers' pipelines; batches are uint8 NCHW.
"""

from __future__ import annotations

import torch
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from ..harness.contestant import Job, Stream
from .torchvision_ import PREFETCH, endless


class Images(Dataset[torch.Tensor]):
    """Each image of an image folder, decoded and transformed, uint8 [3, B, B]."""

    def __init__(self, folder: str, resolution: int) -> None:
        self._paths = [path for path, _ in ImageFolder(folder).samples]
        self._transform = v2.Compose([v2.RandomResizedCrop(resolution, antialias=True), v2.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self._transform(decode_jpeg(read_file(self._paths[index]), mode=ImageReadMode.RGB))
        return image


def build(job: Job) -> Stream:
    loader = endless(Images(job.folder, job.resolution), job)
    return Stream(iter(loader), job, ahead=job.threads * PREFETCH)
