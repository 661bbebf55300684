"""Ours on top of FFCV, uint8 out: the FFCV backend, and our decoder in a stock FFCV pipeline.

Variants by option: "stock" reads the very beton that the contestant `ffcv` reads (written by FFCV, quality 95, full
size); "backend" chooses who reads it; "part" is `SubJPEGRandomResizedCrop(flip=True)` in FFCV's own loader.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ffcv.fields.decoders import IntDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import ToTensor

from benchmarks.contestant import Job, Stream
from benchmarks.peers import ffcv_, ours
from loaders import open_store
from loaders.backends.ffcv import SubJPEGRandomResizedCrop


def prepare(job: Job) -> None:
    (ffcv_ if job.options.get("stock") else ours).prepare(job)


def build(job: Job) -> Stream:
    if job.options.get("stock"):
        job = replace(job, ladder=str(ffcv_.beton(job)))
    if not job.options.get("part"):
        return ours.build(replace(job, options={"backend": "ffcv", **job.options}))
    with open_store(job.ladder) as store:
        records = len(store)
    loader = Loader(
        job.ladder,
        batch_size=job.batch_size,
        num_workers=job.threads,
        os_cache=True,
        seed=job.seed,
        order=OrderOption.RANDOM,
        batches_ahead=ffcv_.AHEAD,
        pipelines={
            "image": [SubJPEGRandomResizedCrop(job.bandwidth, flip=True), ToTensor()],
            "label": [IntDecoder(), ToTensor()],
        },
        indices=np.tile(np.arange(records), ffcv_.LONG // records + 1),
    )
    return Stream(ffcv_.endless(loader), job, ahead=ffcv_.AHEAD + 1)
