"""torchvision on a GPU: workers read files, `decode_jpeg` decodes whole batches there, transforms v2 work there.

A list of JPEGs at a time, as `decode_jpeg`'s documentation advises; then image by image, because each has a crop of its
own: RandomResizedCrop (antialiased), flip, [RandAugment], and for the batch ToDtype and Normalize. float16 out.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from ..harness.contestant import Job, Stream
from .torchvision_ import MEAN, PREFETCH, STD, endless


class Files(Dataset[torch.Tensor]):
    """The bytes of each file of an image folder."""

    def __init__(self, folder: str) -> None:
        self._paths = [path for path, _ in ImageFolder(folder).samples]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return read_file(self._paths[index])


def build(job: Job) -> Stream:
    loader = endless(Files(job.folder), job, collate_fn=list)  # files have no common size
    each: list[torch.nn.Module] = [v2.RandomResizedCrop(job.resolution, antialias=True), v2.RandomHorizontalFlip()]
    if (magnitude := job.options.get("magnitude")) is not None:
        each.append(v2.RandAugment(num_ops=2, magnitude=round(magnitude), num_magnitude_bins=11))
    return Stream(_batches(loader, v2.Compose(each), job.device), job, ahead=job.threads * PREFETCH)


def _batches(loader: DataLoader[torch.Tensor], each: v2.Compose, device: str) -> Iterator[torch.Tensor]:
    finish = v2.Compose([v2.ToDtype(torch.float16, scale=True), v2.Normalize(MEAN, STD)])
    for jpegs in loader:
        images = decode_jpeg(jpegs, mode=ImageReadMode.RGB, device=device)
        yield finish(torch.stack([each(image) for image in images]))
