"""From sub-JPEGs to finished batches with DALI: two routes, one for each kind of device.

On the CPU, DALI decodes and our kernel resamples: DALI has no filter like ours, and on the CPU its resampling is more
expensive than its decoding. On a GPU, DALI does both, and the remaining steps follow on the GPU.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ...batch import Batch, BatchPlan
from ...buffer_pool import BufferPool
from ...transforms.device import put
from ..base import PendingBatch
from ..decoder import Decoder
from ..device_queue import Clock, InUse, RunAhead, hand_over
from .cut import Cut
from .graph import JPEG, PAIR, WHOLE, Body, Feed, Kind, decode, decode_and_resize
from .resample import Resampling
from .threads import Threads

if TYPE_CHECKING:
    from ...transforms.pipeline import TransformPipeline

CUBIC_FROM = 200
"""Resolution from which DALI's bicubic is closer to the torch backend's default filter than DALI's Lanczos is."""


@dataclass(eq=False)
class DecodedByDALI:
    """A batch that DALI has finished, and the kernel's remaining work on it."""

    batch: BatchPlan
    images: Any  # DALI's; None if it refused the batch
    why: str  # the reason if it refused
    rows: NDArray[np.int64]  # the samples that the kernel works on
    kernel: PendingBatch

    def repaired(self, decoder: Decoder) -> NDArray[np.uint8]:
        """Waits for the pixels of `rows` and returns them; the batch then names the samples that replaced bad ones."""
        self.kernel.wait()
        if self.images is None and not self.kernel.status.any():
            warnings.warn(
                f"DALI refused a batch that our kernel then decoded: {self.why}", RuntimeWarning, stacklevel=2
            )
        batch, rows = self.batch, self.rows
        part = batch.rows(rows)
        decoder.repair(part, self.kernel.status, self.kernel.message, self.kernel.out)
        self.kernel.close()
        batch.keys[rows], batch.labels[rows], batch.samples[rows] = part.keys, part.labels, part.samples
        return self.kernel.out


class Route(Protocol):
    """The steps from cut batches to finished ones.

    Attributes:
        body, inputs: of the `Graph`.
        stream: the stream that will use its results.
        ahead: batches that are taken from DALI before the first of them is finished.
        sums: the route's own work, counted as in `native.Pool.stats`.
    """

    body: Body
    inputs: tuple[Kind, ...]
    stream: torch.cuda.Stream | None
    ahead: int
    sums: Counter[str]

    def feed(self, cut: Cut) -> Feed:
        """DALI's input for a batch."""
        ...

    def take(self, cut: Cut, images: Any, why: str) -> DecodedByDALI:
        """Processes DALI's output. The kernel decodes samples not passed to DALI, and refused batches (None, `why`)."""
        ...

    def finish(self, pending: DecodedByDALI) -> Batch:
        """Images and labels, repaired, augmented and normalised, on the device."""
        ...


class Host:
    """DALI decodes, the kernel's threads resample."""

    inputs: tuple[Kind, ...] = (JPEG, PAIR, PAIR)
    ahead = 2  # the kernel works on one batch while the caller waits for another

    def __init__(
        self, decoder: Decoder, pipeline: TransformPipeline, clock: Clock, *, threads: Threads, prefetch: int
    ) -> None:
        self.body: Body = decode
        self.stream: torch.cuda.Stream | None = None
        self._decoder, self._pipeline, self._clock = decoder, pipeline, clock
        self._threads, self._buffers = threads, BufferPool(prefetch + self.ahead)
        self.sums: Counter[str] = Counter()

    def feed(self, cut: Cut) -> Feed:
        """See `Route`."""
        low = cut.held[:, :2]
        return cut.jpegs, _yx(low), _yx(cut.held[:, 2:] - low)

    def take(self, cut: Cut, images: Any, why: str) -> DecodedByDALI:
        """See `Route`."""
        n = len(cut.status)
        out = self._buffers.take(n * cut.batch.format.sample_bytes)
        resampling = Resampling(cut, images, out, decoder=self._decoder, threads=self._threads)
        return DecodedByDALI(cut.batch, images, why, np.arange(n), resampling)

    def finish(self, pending: DecodedByDALI) -> Batch:
        """See `Route`."""
        batch = pending.batch
        images = batch.format.tensor(pending.repaired(self._decoder))
        assert isinstance(pending.kernel, Resampling)
        self.sums["resample_ns"] += pending.kernel.spent
        with self._clock("ops"):
            labels = torch.from_numpy(batch.labels)
            return self._pipeline(batch.decoded(images, labels, self._pipeline.seed), batch.format)


class InGraph:
    """DALI decodes and resamples; the other steps follow on the device, on a GPU in a separate stream."""

    inputs: tuple[Kind, ...] = (JPEG, PAIR, PAIR, PAIR, WHOLE, WHOLE)
    ahead = 1

    def __init__(
        self, decoder: Decoder, pipeline: TransformPipeline, clock: Clock, *, bicubic: bool, prefetch: int
    ) -> None:
        self._in_use, self._run_ahead = InUse(), RunAhead(prefetch + 1)
        cuda = pipeline.device.type == "cuda"
        self.body: Body = decode_and_resize("mixed" if cuda else "cpu")
        self.stream: torch.cuda.Stream | None = torch.cuda.Stream(pipeline.device) if cuda else None
        self._decoder, self._pipeline, self._clock, self._bicubic = decoder, pipeline, clock, bicubic
        self.sums: Counter[str] = Counter()

    def feed(self, cut: Cut) -> Feed:
        """See `Route`."""
        side, flip = cut.batch.format.resolution, cut.batch.samples["flip"].astype(np.int32)
        n = len(flip)
        cubic = np.full(n, self._bicubic or side >= CUBIC_FROM, np.int32)
        return cut.jpegs, _yx(cut.box[:, :2]), _yx(cut.box[:, 2:]), np.full((n, 2), side, np.float32), flip, cubic

    def take(self, cut: Cut, images: Any, why: str) -> DecodedByDALI:
        """See `Route`."""
        batch, side = cut.batch, cut.batch.format.resolution
        rows = np.arange(len(cut.status)) if images is None else np.flatnonzero(cut.status)
        out = np.empty(len(rows) * 3 * side**2, np.uint8)
        return DecodedByDALI(batch, images, why, rows, self._decoder.submit(batch.rows(rows), out))

    def finish(self, pending: DecodedByDALI) -> Batch:
        """See `Route`."""
        batch, device = pending.batch, self._pipeline.device
        side = batch.format.resolution
        repaired = pending.repaired(self._decoder).reshape(-1, 3, side, side)
        with torch.cuda.stream(self.stream):  # None: the present one
            if pending.images is None:
                images = put(repaired, device)
            else:
                images = torch.from_dlpack(pending.images.as_tensor())
                if len(pending.rows):
                    images.index_copy_(0, put(pending.rows, device), put(repaired, device))
            given = images
            labels = put(batch.labels, device)
            with self._clock("ops"):
                made = self._pipeline(batch.decoded(given, labels, self._pipeline.seed), batch.format)
            if self.stream is None:
                return made
            # The user must not keep DALI's memory on another stream; a transform may return a view of it.
            if made.images.untyped_storage()._cdata == given.untyped_storage()._cdata:
                made.images = made.images.clone()
        # DALI frees a released output on its own stream, while this stream may still read it.
        self._in_use.keep(self.stream, given, pending.images)
        user = torch.cuda.current_stream(device)
        self._run_ahead.delivered(user)
        user.wait_stream(self.stream)
        hand_over((made.images, made.labels, made.targets), user)
        return made


def _yx(pairs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(pairs[:, ::-1], np.float32)
