"""DALI as its documentation has it: file reader, decode, random resized crop, antialiased linear resize, flip.

On the CPU `decoders.image_random_crop` + `resize`, the faster of the two documented ways there (the other one is
`decoders.image` + `random_resized_crop`), uint8 NHWC out. On a GPU `decoders.image` in "mixed" mode (hardware and CUDA
JPEG decoder, default share) + `random_resized_crop`, then `crop_mirror_normalize` to float16 NCHW. Linear with
antialiasing is DALI's default filter; RandAugment is DALI's own, at the output size, which is in its favour.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.auto_aug.rand_augment import rand_augment

from ..harness.contestant import Job, Stream
from ..harness.data import find

DEPTH = 2  # DALI's default queue
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AREA, ASPECT = [0.08, 1.0], [3 / 4, 4 / 3]


def build(job: Job) -> Stream:
    files = find(Path(job.folder))
    names = [file.relative_to(job.folder).parts[0] for file in files]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    cuda, magnitude = job.device == "cuda", job.options.get("magnitude")
    make = pipeline_def(_on_gpu if cuda else _on_cpu, enable_conditionals=magnitude is not None)
    pipeline = make(
        list(map(str, files)),
        [numbers[name] for name in names],
        job.resolution,
        magnitude,
        batch_size=job.batch_size,
        num_threads=job.threads,
        device_id=0 if cuda else None,
        seed=job.seed,
        prefetch_queue_depth=DEPTH,
    )
    pipeline.build()
    return Stream(_from_gpu(pipeline) if cuda else _from_cpu(pipeline), job, ahead=DEPTH + 1)


def _on_cpu(files: list[str], labels: list[int], side: int, magnitude: float | None) -> Any:
    jpegs, targets = fn.readers.file(files=files, labels=labels, random_shuffle=True)
    images = fn.decoders.image_random_crop(
        jpegs,
        device="cpu",
        random_area=AREA,
        num_attempts=10,
        random_aspect_ratio=ASPECT,
        adjust_orientation=False,
    )
    images = fn.resize(images, size=[side, side], interp_type=types.INTERP_LINEAR)
    images = fn.flip(images, horizontal=fn.random.coin_flip())
    return _augmented(images, magnitude), targets


def _on_gpu(files: list[str], labels: list[int], side: int, magnitude: float | None) -> Any:
    jpegs, targets = fn.readers.file(files=files, labels=labels, random_shuffle=True)
    images = fn.decoders.image(jpegs, device="mixed", output_type=types.RGB, adjust_orientation=False)
    images = fn.random_resized_crop(
        images, size=[side, side], random_area=AREA, random_aspect_ratio=ASPECT, num_attempts=10
    )
    images = fn.flip(images, horizontal=fn.random.coin_flip())
    images = _augmented(images, magnitude)
    images = fn.crop_mirror_normalize(
        images,
        mean=[255 * value for value in MEAN],
        std=[255 * value for value in STD],
        dtype=types.FLOAT16,
        output_layout="CHW",
    )
    return images, targets.gpu()


def _augmented(images: Any, magnitude: float | None) -> Any:
    return images if magnitude is None else rand_augment(images, n=2, m=round(magnitude), num_magnitude_bins=11)


def _from_cpu(pipeline: Any) -> Iterator[Any]:
    while True:
        images, _ = pipeline.run()
        yield np.asarray(images.as_tensor())


def _from_gpu(pipeline: Any) -> Iterator[torch.Tensor]:
    while True:
        images, _ = pipeline.run(torch.cuda.current_stream())
        yield torch.from_dlpack(images.as_tensor())
