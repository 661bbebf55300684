"""SPDL: its pipeline of threads; each thread reads, decodes and transforms images, and a stage collates batches.

Two of the ways that its documentation shows. Default: torchvision's `decode_jpeg` and transforms v2 in SPDL's threads
(uint8 NCHW). With the option "ffmpeg": `spdl.io`, where FFmpeg decodes, crops, scales (bilinear) and flips in one
filter graph (uint8 NHWC); FFmpeg's libraries must be installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from spdl.pipeline import PipelineBuilder
from torchvision.transforms import v2

from ..harness.contestant import Job, Stream
from ..harness.data import find
from .torchvision_ import EndlessShuffle
from .torchvision_v2 import DecodeAndTransform

AHEAD = 3  # batches in the sink's buffer


class FFmpeg:
    """A path to FFmpeg's decoded, cropped and scaled frame."""

    def __init__(self, resolution: int) -> None:
        from spdl import io

        io.decode_config()  # raises here, not in a thread, if FFmpeg's libraries are not installed
        self._resolution, self._io = resolution, io

    def __call__(self, path: str) -> Any:
        packets = self._io.demux_image(path)
        size = torch.empty(1, packets.height, packets.width)
        y, x, height, width = v2.RandomResizedCrop(self._resolution).make_params([size]).values()
        side, flip = self._resolution, "hflip," if torch.rand(()) < 0.5 else ""
        steps = f"crop={width}:{height}:{x}:{y},scale={side}:{side}:flags=bilinear,{flip}format=pix_fmts=rgb24"
        return self._io.decode_packets(packets, filter_desc=steps)

    def collate(self, frames: Sequence[Any]) -> torch.Tensor:
        batch: torch.Tensor = self._io.to_torch(self._io.convert_frames(list(frames)))
        return batch


class Torchvision:
    """A path to a decoded and transformed uint8 tensor."""

    def __init__(self, resolution: int) -> None:
        self._transform = DecodeAndTransform(resolution)

    def __call__(self, path: str) -> torch.Tensor:
        return self._transform(Path(path).read_bytes())

    def collate(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(images))


def build(job: Job) -> Stream:
    torch.set_num_threads(1)  # the pipeline's threads are all that may work
    paths = list(map(str, find(Path(job.folder))))
    work = (FFmpeg if job.options.get("ffmpeg") else Torchvision)(job.resolution)
    builder: Any = PipelineBuilder()
    pipeline = (
        builder.add_source(paths[index] for index in EndlessShuffle(len(paths), job.seed))
        .pipe(work, concurrency=job.threads)
        .aggregate(job.batch_size)
        .pipe(work.collate)
        .add_sink(AHEAD)
        .build(num_threads=job.threads)
    )
    return Stream(_batches(pipeline), job, ahead=AHEAD + 1)


def _batches(pipeline: Any) -> Iterator[torch.Tensor]:
    with pipeline.auto_stop():
        yield from pipeline
