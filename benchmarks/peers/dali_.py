"""DALI on the CPU: file reader, crop-aware decode, antialiased linear resize, flip; uint8 NHWC out.

`decoders.image_random_crop` + `resize` is the faster of the two documented ways on the CPU (the other one is
`decoders.image` + `random_resized_crop`); linear with antialiasing is DALI's default filter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from benchmarks.contestant import Job, Stream
from benchmarks.data import find

DEPTH = 2  # DALI's default queue


def build(job: Job) -> Stream:
    files = find(Path(job.folder))
    classes = sorted({file.relative_to(job.folder).parts[0] for file in files})
    labels = [classes.index(file.relative_to(job.folder).parts[0]) for file in files]
    pipeline = Pipeline(job.batch_size, job.threads, device_id=None, seed=job.seed, prefetch_queue_depth=DEPTH)
    with pipeline:
        jpegs, targets = fn.readers.file(files=list(map(str, files)), labels=labels, random_shuffle=True)
        images = fn.decoders.image_random_crop(
            jpegs,
            device="cpu",
            random_area=[0.08, 1.0],
            num_attempts=10,
            random_aspect_ratio=[3 / 4, 4 / 3],
            adjust_orientation=False,
        )
        images = fn.resize(images, size=[job.bandwidth, job.bandwidth], interp_type=types.INTERP_LINEAR)
        pipeline.set_outputs(fn.flip(images, horizontal=fn.random.coin_flip()), targets)
    pipeline.build()
    return Stream(_endless(pipeline), job, ahead=DEPTH + 1)


def _endless(pipeline: Pipeline) -> Iterator[Any]:
    while True:
        images, _ = pipeline.run()
        yield np.asarray(images.as_tensor())
