"""The limit of any loader that decodes JPEGs on the CPU: libjpeg-turbo decoding files already cut and sized to BxB.

Random crops of the data, resized to BxB and stored at quality 95 4:2:0, lie in memory; each thread decodes
one after the other into a batch's buffer by TurboJPEG's `tjDecompress2` (accurate DCT, fancy upsampling, RGB
out; ctypes gives up the GIL for the call). No reading, no cropping, no resizing, no flip, no waiting for a
batch to be complete.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..harness.contestant import Job

CROPS = 512
RGB, ACCURATE_DCT = 0, 4096  # TJPF_RGB, TJFLAG_ACCURATEDCT (turbojpeg.h)


def turbojpeg() -> ctypes.CDLL:
    """TurboJPEG with the signatures that are used here; raises ImportError if it is not installed."""
    name = ctypes.util.find_library("turbojpeg")
    if name is None:
        raise ImportError("the shared library libturbojpeg is not installed")
    library = ctypes.CDLL(name)
    library.tjInitDecompress.restype = ctypes.c_void_p
    library.tjDestroy.argtypes = [ctypes.c_void_p]
    library.tjDecompress2.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_ulong,
        ctypes.c_void_p,
        *[ctypes.c_int] * 5,
    ]
    return library


class Decoder:
    """Decodes `jpegs` (all side x side) with `threads` threads, round and round."""

    def __init__(self, jpegs: list[bytes], side: int, threads: int, batch_size: int) -> None:
        self._library, self._side, self._threads = turbojpeg(), side, threads
        self._decompress, self._pool = self._library.tjDecompress2, ThreadPoolExecutor(threads)
        self._data = np.frombuffer(b"".join(jpegs), np.uint8)  # kept: the addresses below point into it
        sizes = np.array([len(jpeg) for jpeg in jpegs])
        starts = self._data.ctypes.data + np.cumsum(sizes) - sizes
        self._calls = list(zip(starts.tolist(), sizes.tolist(), strict=True))
        self.batches = [np.empty((batch_size, side, side, 3), np.uint8) for _ in range(threads)]
        self.output = f"uint8 {batch_size}x{side}x{side}x3"
        self.delivered, self._mean = 0, float(sizes.mean())

    def round(self, seconds: float) -> tuple[int, float]:
        """All threads for `seconds`, at least a batch each: (images, elapsed seconds)."""
        start = time.perf_counter()
        images = sum(self._pool.map(self._work, range(self._threads), [start + seconds] * self._threads))
        self.delivered += images
        return images, time.perf_counter() - start

    def facts(self) -> dict[str, float]:
        return {"stored_bytes": self._mean}

    def _work(self, thread: int, deadline: float) -> int:
        batch, handle = self.batches[thread], self._library.tjInitDecompress()
        first, images = thread * len(self._calls) // self._threads, 0
        try:
            while not images or time.perf_counter() < deadline:
                for slot, target in enumerate(
                    range(batch.ctypes.data, batch.ctypes.data + batch.nbytes, batch[0].nbytes)
                ):
                    address, size = self._calls[(first + images + slot) % len(self._calls)]
                    if self._decompress(handle, address, size, target, self._side, 0, self._side, RGB, ACCURATE_DCT):
                        raise RuntimeError("libjpeg-turbo refuses a JPEG that was made for it")
                images += len(batch)
        finally:
            self._library.tjDestroy(handle)
        return images


def make_jpegs(folder: str, side: int, count: int, seed: int) -> list[bytes]:
    """`count` random crops of a folder's images, resized to side x side (Lanczos), as JPEG quality 95 4:2:0."""
    from PIL import Image

    from loaders.plan.crop import train_boxes

    names = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    picks = np.linspace(0, len(names) - 1, count).astype(np.int64)
    jpegs = []
    for index in picks:
        with Image.open(names[index]) as image:
            width, height = (np.array([size]) for size in image.size)
            box = train_boxes(width, height, seed, 0, np.array([index]))[0]
            x0, y0, x1, y1 = (int(edge) for edge in box)
            crop = image.convert("RGB").crop((x0, y0, x1, y1))
        out = io.BytesIO()
        crop.resize((side, side), Image.Resampling.LANCZOS).save(out, "JPEG", quality=95, subsampling="4:2:0")
        jpegs.append(out.getvalue())
    return jpegs


def _path(job: Job, resolution: int) -> Path:
    return Path(job.work, f"limit-{resolution}.npz")


def prepare(job: Job) -> None:
    for resolution in job.options["resolutions"]:
        path = _path(job, resolution)
        if not path.exists():
            jpegs = make_jpegs(job.folder, resolution, CROPS, job.seed)
            part = path.with_suffix(".part.npz")
            np.savez(
                part,
                data=np.frombuffer(b"".join(jpegs), np.uint8),
                sizes=np.array([len(jpeg) for jpeg in jpegs]),
            )
            os.replace(part, path)


def build(job: Job) -> Decoder:
    with np.load(_path(job, job.resolution)) as stored:
        ends = np.cumsum(stored["sizes"])
        data = stored["data"].tobytes()
    jpegs = [data[end - size : end] for end, size in zip(ends, np.diff(ends, prepend=0), strict=True)]
    return Decoder(jpegs, job.resolution, job.threads, job.batch_size)
