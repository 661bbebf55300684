"""Ours on top of FFCV, uint8 out: the FFCV backend, and our decoder in an FFCV pipeline.

Variants by option: "ffcv_beton" reads the beton that the contestant `ffcv` reads (written by FFCV, quality 95, full
size); "backend" chooses the reader; "part" is `SubJPEGRandomResizedCrop(flip=True)` in FFCV's own loader.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ffcv.fields.decoders import IntDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import ToTensor

from loaders import open_dataset
from loaders.backends.ffcv import SubJPEGRandomResizedCrop

from ..harness.contestant import Job, Stream
from . import ffcv_, ours


def prepare(job: Job) -> None:
    (ffcv_ if job.options.get("ffcv_beton") else ours).prepare(job)


def build(job: Job) -> Stream:
    if job.options.get("ffcv_beton"):
        job = replace(job, pyramid=str(ffcv_.beton(job)))
    if not job.options.get("part"):
        return ours.build(replace(job, options={"backend": "ffcv", **job.options}))
    with open_dataset(job.pyramid) as dataset:
        records = len(dataset)
    loader = Loader(
        job.pyramid,
        batch_size=job.batch_size,
        num_workers=job.threads,
        os_cache=True,
        seed=job.seed,
        order=OrderOption.RANDOM,
        batches_ahead=ffcv_.AHEAD,
        pipelines={
            "image": [SubJPEGRandomResizedCrop(job.resolution, flip=True), ToTensor()],
            "label": [IntDecoder(), ToTensor()],
        },
        indices=np.tile(np.arange(records), ffcv_.LONG // records + 1),
    )
    return Stream(ffcv_.endless(loader), job, ahead=ffcv_.AHEAD + 1)
